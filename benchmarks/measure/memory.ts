/** @file Memory of a process and everything it started, as Linux counts it. */
import { readdirSync, readFileSync } from 'node:fs';
import { UserError } from '@sdft/tensor';

/** Bytes. */
export interface Peaks {
  /** Memory that no file stands behind: what an allocation takes. */
  readonly anonymous: number;
  /** Pages of files mapped into the processes: weights, libraries. */
  readonly mapped: number;
  /** Of all resident memory: these, those and shared memory at one time. Not the sum of the other two, whose peaks may lie apart. */
  readonly all: number;
}

/** Looks every 20 ms. */
export class MemoryWatch {
  readonly #root: number;
  readonly #timer: NodeJS.Timeout;
  #tree: readonly number[] = [];
  #samples = 0;
  #peaks: Peaks = { anonymous: 0, mapped: 0, all: 0 };

  /**
   * @param pid of the process; its children and theirs are counted with it
   * @throws UserError on a system that does not tell
   */
  constructor(pid: number, everyMs = 20) {
    if (statusOf(process.pid)?.['RssAnon'] === undefined)
      throw new UserError('memory is read from /proc/PID/status, which only Linux has');
    this.#root = pid;
    this.#timer = setInterval(() => this.#sample(), everyMs);
    this.#sample();
  }

  /** The peaks since the start. The kernel's own high-water mark of the first process counts too: it misses nothing between two looks. */
  peaks(): Peaks {
    this.#sample();
    const highest = statusOf(this.#root)?.['VmHWM'] ?? 0;
    return { ...this.#peaks, all: Math.max(this.#peaks.all, highest) };
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #sample(): void {
    // New processes are rare, and looking for them takes longer than reading what one uses.
    if (this.#samples++ % 10 === 0) this.#tree = treeOf(this.#root);
    let [anonymous, mapped, shared] = [0, 0, 0];
    for (const pid of this.#tree) {
      const status = statusOf(pid);
      anonymous += status?.['RssAnon'] ?? 0;
      mapped += status?.['RssFile'] ?? 0;
      shared += status?.['RssShmem'] ?? 0;
    }
    const before = this.#peaks;
    this.#peaks = {
      anonymous: Math.max(before.anonymous, anonymous),
      mapped: Math.max(before.mapped, mapped),
      all: Math.max(before.all, anonymous + mapped + shared),
    };
  }
}

/** Sizes in /proc/PID/status, in bytes; undefined where the process has ended. */
export function statusOf(pid: number): Readonly<Record<string, number>> | undefined {
  const text = read(`/proc/${pid}/status`);
  if (text === undefined) return undefined;
  return Object.fromEntries(
    Array.from(text.matchAll(/^(\w+):\s+(\d+) kB$/gm), ([, name, kilobytes]) => [
      name!,
      Number(kilobytes) * 1024,
    ]),
  );
}

/** The process, its children and theirs. */
export function treeOf(pid: number): number[] {
  let threads: string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
  const children = threads.flatMap((thread) =>
    (read(`/proc/${pid}/task/${thread}/children`) ?? '').split(' ').filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(treeOf)];
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
