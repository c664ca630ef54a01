import { ours } from '../contestants/contestant.ts';
import type { Peaks } from '../measure/memory.ts';
import { agreementOf } from '../measure/sameWork.ts';
import { median, relativeError } from '../measure/statistics.ts';
import { type Figure, type Job, prepare, type Workload } from './job.ts';
import { usageOf } from './memory.ts';

const job: Workload = { model: 'sd15', size: { batch: 1, latents: 64 } };
const stepCount = 4;

export const recompute: Job = {
  name: 'recompute',
  about: 'ours at 512 px with recomputation off and on: peak memory, seconds, equal gradients',
  run: async (bench) => {
    const { task, workload } = await prepare(bench, job, stepCount);
    bench.log('recompute off');
    const off = await usageOf(ours, task, stepCount);
    bench.log('recompute on');
    const on = await usageOf(ours, { ...task, recompute: true }, stepCount);
    const seconds = (steps: typeof on.steps): number =>
      median(steps.slice(1).map((s) => s.seconds));
    const peak = (kind: keyof Peaks): Figure[] => {
      const what = kind === 'all' ? 'in all' : kind;
      const fall = 100 * (1 - on.training[kind] / off.training[kind]);
      return [
        { figure: `peak ${what}, off`, unit: 'GB', ours: off.training[kind] / 1e9 },
        { figure: `peak ${what}, on`, unit: 'GB', ours: on.training[kind] / 1e9 },
        {
          figure: `peak ${what} falls by`,
          unit: '%',
          ours: fall,
          // Weights, mapped from their files, stay as they are in both.
          ...(kind === 'anonymous' && { goal: { text: '>= 30 %', reached: fall >= 30 } }),
        },
      ];
    };
    const difference = relativeError(on.steps[0]!.moment, off.steps[0]!.moment);
    return {
      workload,
      versions: on.versions,
      figures: [
        ...peak('anonymous'),
        ...peak('all'),
        {
          figure: 'difference of gradients',
          unit: '',
          ours: difference,
          goal: { text: '<= 1e-6', reached: difference <= 1e-6 },
        },
        { figure: 'seconds a step, off', unit: 's', ours: seconds(off.steps) },
        { figure: 'seconds a step, on', unit: 's', ours: seconds(on.steps) },
      ],
      sameWork: agreementOf(on.steps, off.steps),
      samples: { off: off.training, on: on.training },
    };
  },
};
