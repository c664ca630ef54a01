/** @file Both sides, step by step in turns, so that whatever else the machine does hits both. */
import { setTimeout as pause } from 'node:timers/promises';
import { Contestant } from '../contestants/contestant.ts';
import type { Bench } from '../jobs/job.ts';
import type { Step, Task } from '../workload/task.ts';

/** Threads of a pool go on looking for work for a moment after a step; the other side's step waits for that to end. */
const restMs = 300;
/** The first steps touch memory for the first time. They are not timed. */
export const warmUp = 3;

export interface Turns {
  readonly side: 'ours' | 'theirs';
  readonly versions: Readonly<Record<string, string>>;
  /** All steps, the first ones included. */
  readonly steps: readonly Step[];
  /** Seconds of those that count. */
  readonly seconds: readonly number[];
}

/** `pairs` timed steps of each side. The sides take turns at going first. */
export async function inTurns(bench: Bench, task: Task, pairs: number): Promise<Turns[]> {
  const running: { contestant: Contestant; versions: Turns['versions']; steps: Step[] }[] = [];
  try {
    for (const side of bench.sides) {
      bench.log(`${side.name}: loading`);
      const contestant = new Contestant(side, task);
      const entry = { contestant, versions: {}, steps: [] };
      running.push(entry);
      Object.assign(entry, await contestant.ready());
    }
    for (let pair = -warmUp; pair < pairs; pair++) {
      const order = pair % 2 === 0 ? running : running.toReversed();
      for (const { contestant, steps } of order) {
        await pause(restMs);
        steps.push(await contestant.step());
      }
      const seconds = running.map(({ contestant, steps }) => {
        const { seconds: last } = steps.at(-1)!;
        return `${contestant.side.name} ${last.toFixed(3)} s`;
      });
      bench.log(`${pair < 0 ? 'warm-up' : `pair ${pair + 1} of ${pairs}`}: ${seconds.join(', ')}`);
    }
  } finally {
    await Promise.all(running.map(({ contestant }) => contestant.stop()));
  }
  return running.map(({ contestant, versions, steps }) => ({
    side: contestant.side.name,
    versions,
    steps,
    seconds: steps.slice(warmUp).map(({ seconds }) => seconds),
  }));
}
