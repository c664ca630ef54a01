import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Side, withContestant } from '../contestants/contestant.ts';
import { MemoryWatch, type Peaks } from '../measure/memory.ts';
import { agreementOf } from '../measure/sameWork.ts';
import { median } from '../measure/statistics.ts';
import type { Ready, Step, Task } from '../workload/task.ts';
import { type Bench, type Figure, type Job, prepare, type Workload } from './job.ts';

export interface Usage extends Ready {
  readonly loading: Peaks;
  /** Loading included. */
  readonly training: Peaks;
  readonly steps: readonly Step[];
}

/** Peaks of a fresh process that loads and does `count` steps. */
export const usageOf = (side: Side, task: Task, count: number): Promise<Usage> =>
  withContestant(side, task, async (contestant) => {
    const watch = new MemoryWatch(contestant.pid);
    try {
      const { versions } = await contestant.ready();
      const loading = watch.peaks();
      const steps = await contestant.steps(count);
      return { versions, loading, training: watch.peaks(), steps };
    } finally {
      watch.stop();
    }
  });

const job: Workload = {
  model: 'sd15',
  size: { batch: 1, latents: 32 },
};
const stepCount = 6;

export const memory: Job = {
  name: 'memory',
  about: 'the same job as ti-sd15-256: peak memory, loading and training, of fresh processes',
  run: async (bench) => {
    const { task, workload } = await prepare(bench, job, stepCount);
    const runs = await freshRuns(bench, task, bench.pairs ?? 3);
    const [ours, theirs] = runs;
    const weights = weightBytes(task);
    const of = (phase: 'loading' | 'training', kind: keyof Peaks): Figure => {
      const peak = (usages: readonly Usage[]): number => median(usages.map((u) => u[phase][kind]));
      const what = kind === 'all' ? 'in all' : kind;
      return {
        figure: `peak ${phase}, ${what}`,
        unit: 'GB',
        ours: peak(ours!) / 1e9,
        ...(theirs && { theirs: peak(theirs) / 1e9 }),
      };
    };
    const noMore = (figure: Figure): Figure =>
      figure.theirs === undefined
        ? figure
        : { ...figure, goal: { text: '<= theirs', reached: figure.ours <= figure.theirs } };
    const loaded = of('loading', 'all');
    const goal = {
      text: `<= 1.1 x ${(weights / 1e9).toFixed(2)} GB of weights`,
      reached: loaded.ours * 1e9 <= 1.1 * weights,
    };
    const mapped = theirs && median(theirs.map((usage) => usage.training.mapped));
    return {
      workload: { ...workload, weightBytes: weights, steps: stepCount },
      versions: { ...ours![0]!.versions, ...theirs?.[0]!.versions },
      figures: [
        of('loading', 'anonymous'),
        { ...loaded, goal },
        noMore(of('training', 'anonymous')),
        of('training', 'mapped'),
        noMore(of('training', 'all')),
      ],
      ...(theirs && { sameWork: agreementOf(ours![0]!.steps, theirs[0]!.steps) }),
      notes:
        mapped === undefined || mapped > 0.8 * weights
          ? []
          : [`theirs has not mapped its weights: ${(mapped / 1e9).toFixed(2)} GB of files at most`],
      samples: Object.fromEntries(
        runs.map((usages, i) => [
          bench.sides[i]!.name,
          usages.map(({ loading, training }) => ({ loading, training })),
        ]),
      ),
    };
  },
};

/** For each side, as many processes as `pairs`, in turns, one at a time. */
async function freshRuns(bench: Bench, task: Task, pairs: number): Promise<Usage[][]> {
  const runs: Usage[][] = bench.sides.map(() => []);
  for (let pair = 0; pair < pairs; pair++) {
    const order = [...bench.sides.keys()];
    for (const i of pair % 2 === 0 ? order : order.reverse()) {
      const side = bench.sides[i]!;
      const usage = await usageOf(side, task, stepCount);
      runs[i]!.push(usage);
      const { anonymous, all } = usage.training;
      bench.log(
        `${pair + 1} of ${pairs}: ${side.name} ${(anonymous / 1e9).toFixed(2)} GB anonymous, ${(all / 1e9).toFixed(2)} GB in all`,
      );
    }
  }
  return runs;
}

/** Size of the files that a step reads. */
const weightBytes = ({ checkpoint }: Task): number =>
  ['unet', 'text_encoder']
    .flatMap((part) => readdirSync(join(checkpoint, part)).map((file) => [part, file] as const))
    .filter(([, file]) => file.endsWith('.safetensors'))
    .reduce((sum, [part, file]) => sum + statSync(join(checkpoint, part, file)).size, 0);
