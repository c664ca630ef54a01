import { UserError } from '../errors.ts';

/** Headers and pictures looked at together: enough for libvips' threads, few enough to hold in memory. */
const AT_ONCE = 4;

/** Works through a list a few at a time; what people can mend is gathered from all of it and thrown as one error. */
export async function forAll<T, R>(
  list: readonly T[],
  folder: string,
  work: (entry: T, index: number) => Promise<R>,
): Promise<R[]> {
  const done: R[] = [];
  const faults: string[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < list.length; index = next++) {
      try {
        done[index] = await work(list[index]!, index);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        faults.push(error.message);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (faults.length === 0) return done;
  const more = faults.length > 10 ? [`... and ${faults.length - 10} more in ${folder}`] : [];
  throw new UserError([...faults.sort().slice(0, 10), ...more].join('\n'));
}
