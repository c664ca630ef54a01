import type { Side } from '../contestants/contestant.ts';
import { type Agreement, agreementOf } from '../measure/sameWork.ts';
import { type Line, lineThrough, median } from '../measure/statistics.ts';
import type { Step } from '../workload/task.ts';
import { type Figure, type Job, prepare, type Prepared, type Workload } from './job.ts';
import { type Usage, usageOf } from './memory.ts';

const sizes = [1, 2, 4, 8];
const warmUp = 3;
const workloadOf = (batch: number): Workload => ({
  model: 'sd15',
  size: { batch, latents: 32 },
});

interface Point {
  readonly batch: number;
  readonly seconds: number;
  /** Peaks, bytes. */
  readonly anonymous: number;
  readonly all: number;
}

export const batches: Job = {
  name: 'batches',
  about: 'the job of ti-sd15-256 in batches of 1, 2, 4 and 8: time and memory grow linearly',
  run: async (bench) => {
    const stepCount = warmUp + (bench.pairs ?? 5);
    const versions: Record<string, string> = {};
    const points = new Map<Side, Point[]>(bench.sides.map((side) => [side, []]));
    const agreements: Agreement[] = [];
    let workload: Prepared['workload'] = {};
    for (const batch of sizes) {
      const prepared = await prepare(bench, workloadOf(batch), stepCount);
      workload = { ...prepared.workload, batch: sizes };
      const steps: (readonly Step[])[] = [];
      for (const side of bench.sides) {
        const usage = await usageOf(side, prepared.task, stepCount);
        Object.assign(versions, usage.versions);
        steps.push(usage.steps);
        const point = pointOf(batch, usage);
        points.get(side)!.push(point);
        bench.log(
          `batch ${batch}: ${side.name} ${point.seconds.toFixed(2)} s, ${(point.all / 1e9).toFixed(2)} GB in all`,
        );
      }
      if (steps.length === 2) agreements.push(agreementOf(steps[0]!, steps[1]!));
    }
    const [ours, theirs] = [...points.values()];
    const sameWork = agreements.find(({ same }) => !same) ?? agreements.at(-1);
    return {
      workload,
      versions,
      figures: [
        ...figuresOf('seconds a step', 's', ({ seconds }) => seconds, ours!, theirs),
        ...figuresOf('peak anonymous', 'GB', (p) => p.anonymous / 1e9, ours!, theirs),
      ],
      ...(sameWork && { sameWork }),
      samples: Object.fromEntries([...points].map(([side, list]) => [side.name, list])),
    };
  },
};

function pointOf(batch: number, { training, steps }: Usage): Point {
  const seconds = median(steps.slice(warmUp).map((step) => step.seconds));
  return { batch, seconds, anonymous: training.anonymous, all: training.all };
}

/** The value at each size of batch, then how well a line through them fits. */
function figuresOf(
  figure: string,
  unit: 's' | 'GB',
  value: (point: Point) => number,
  ours: readonly Point[],
  theirs: readonly Point[] | undefined,
): Figure[] {
  const fit = (points: readonly Point[]): Line =>
    lineThrough(
      points.map(({ batch }) => batch),
      points.map(value),
    );
  const { r2 } = fit(ours);
  return [
    ...ours.map((point, i) => ({
      figure: `${figure}, batch ${point.batch}`,
      unit,
      ours: value(point),
      ...(theirs && { theirs: value(theirs[i]!) }),
    })),
    {
      figure: `${figure}: R² of a line`,
      unit: '',
      ours: r2,
      ...(theirs && { theirs: fit(theirs).r2 }),
      goal: { text: '> 0.99', reached: r2 > 0.99 },
    },
  ];
}
