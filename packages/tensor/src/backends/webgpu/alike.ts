/**
 * @file Kernels that differ by whole numbers alone become one, which each dispatch hands its own numbers. A driver that computes on the processor takes a second or more to compile a product; of the 330 codes of a
 * LoRA's step at SD1.5's size 95 are left.
 */
import type { Kernel, Target } from './kernel.ts';
import type { Program } from './program.ts';

/** A code without its numbers, and the numbers in their order. */
interface Taken {
  readonly rest: string;
  readonly numbers: readonly string[];
}

/** Of u32, as kernels write them. */
const NUMBER = /(?<![\w.])(\d+)u\b/g;
/** What has to be known when a kernel is compiled. */
const FIXED = /\b(?:const|override|case)\b/;
/** The entry, which comes after all other functions; and the last function. */
const ENTRY = /^fn main\(.*\{$/m;
const LAST = /^fn (?![\s\S]*^fn )/m;

/** Numbers within functions; undefined where a kernel needs to know its own beforehand. */
function take(code: string): Taken | undefined {
  const start = code.search(/^fn /m);
  if (FIXED.test(code) || code.search(ENTRY) !== code.search(LAST)) return undefined;
  const numbers: string[] = [];
  const body = code.slice(start).replace(NUMBER, (_, digits: string) => {
    numbers.push(digits);
    return '#u';
  });
  return { rest: code.slice(0, start) + body, numbers };
}

/** The code of kernels whose numbers at `place` are the numbers of a dispatch, from `slots[place]`; all others are the same in each and stay. */
function spelled(
  code: string,
  { numbers }: Taken,
  slots: readonly (number | undefined)[],
  count: number,
): string {
  const [start, entry] = [code.search(/^fn /m), code.search(ENTRY)];
  let at = 0;
  const body = code.slice(start).replace(NUMBER, (...match: unknown[]) => {
    const [slot, digits] = [slots[at], numbers[at]!];
    at++;
    if (slot === undefined) return `${digits}u`;
    return start + (match.at(-2) as number) > entry ? `n${slot}` : `numbers.n${slot}`;
  });
  const all = Array.from({ length: count }, (_, slot) => `n${slot}`);
  // Read once, at the top: within loops, software drivers read them lane by lane.
  const set = all.map((name) => `let ${name} = numbers.${name};`).join(' ');
  // After the last `enable`.
  const head = code.slice(0, start);
  const enabled = /^(?:[ \t]*(?:enable|requires|diagnostic)\b.*\n)*/.exec(head)![0];
  return `${enabled}requires immediate_address_space;
struct Numbers { ${all.map((name) => `${name}: u32`).join(', ')} }
var<immediate> numbers: Numbers;
${head.slice(enabled.length)}${body.replace(ENTRY, (line) => `${line}\n${set}`)}`;
}

/** Which numbers differ within a group, as slots: places whose numbers are the same in each kernel share one. */
function slotsOf(group: readonly Taken[]): { slots: (number | undefined)[]; count: number } {
  const known = new Map<string, number>();
  const slots = group[0]!.numbers.map((first, place) => {
    const all = group.map(({ numbers }) => numbers[place]!);
    if (all.every((number) => number === first)) return undefined;
    const key = all.join();
    if (!known.has(key)) known.set(key, known.size);
    return known.get(key);
  });
  return { slots, count: known.size };
}

/** On devices that compute on the processor and take numbers with a dispatch; elsewhere what a compiler knows is worth more. */
export function unite(program: Program, target: Target): Program {
  if (target.kind !== 'software' || target.immediates === 0) return program;
  const groups = new Map<string, Map<string, Taken>>();
  for (const { kernel } of program.steps) {
    const taken = take(kernel.code);
    if (!taken) continue;
    const codes = groups.get(taken.rest) ?? new Map<string, Taken>();
    groups.set(taken.rest, codes.set(kernel.code, taken));
  }
  const united = new Map<string, Pick<Kernel, 'code' | 'numbers'>>();
  for (const codes of groups.values()) {
    const { slots, count } = slotsOf([...codes.values()]);
    if (count === 0 || count > target.immediates) continue;
    const [[code, taken]] = [...codes] as [[string, Taken]];
    const one = spelled(code, taken, slots, count);
    for (const [own, { numbers }] of codes) {
      const given = new Array<number>(count).fill(0);
      slots.forEach((slot, place) => {
        if (slot !== undefined) given[slot] = Number(numbers[place]);
      });
      united.set(own, { code: one, numbers: given });
    }
  }
  return {
    ...program,
    steps: program.steps.map((step) => {
      const found = united.get(step.kernel.code);
      return found ? { ...step, kernel: { ...step.kernel, ...found } } : step;
    }),
  };
}
