import { type Side, withContestant } from '../contestants/contestant.ts';
import { agreementOf } from '../measure/sameWork.ts';
import { median, ratioOf } from '../measure/statistics.ts';
import type { Ready, Step, Task } from '../workload/task.ts';
import { type Figure, type Job, prepare, type Workload } from './job.ts';

const job: Workload = { model: 'sd15', size: { batch: 1, latents: 32 } };

interface First extends Ready {
  /** From the start of the process until it could step. */
  readonly loaded: number;
  /** From the start of the process until its first step was done. */
  readonly stepped: number;
  readonly step: Step;
}

const firstStepOf = (side: Side, task: Task): Promise<First> =>
  withContestant(side, task, async (contestant) => {
    const since = (): number => (performance.now() - contestant.started) / 1000;
    const { versions } = await contestant.ready();
    const loaded = since();
    const step = await contestant.step();
    return { versions, loaded, stepped: since(), step };
  });

export const firstStep: Job = {
  name: 'first-step',
  about: 'the same job as ti-sd15-256: from the start of the process to the end of its first step',
  run: async (bench) => {
    const { task, workload } = await prepare(bench, job, 1);
    const pairs = bench.pairs ?? 10;
    const runs = bench.sides.map((): First[] => []);
    // Before the first pair each side runs once, so that both find their files in memory.
    for (let pair = -1; pair < pairs; pair++) {
      const order = [...bench.sides.keys()];
      for (const i of pair % 2 === 0 ? order : order.reverse()) {
        const side = bench.sides[i]!;
        const first = await firstStepOf(side, task);
        if (pair >= 0) runs[i]!.push(first);
        const which = pair < 0 ? 'warm-up' : `pair ${pair + 1} of ${pairs}`;
        bench.log(`${which}: ${side.name} ${first.stepped.toFixed(2)} s`);
      }
    }
    const [ours, theirs] = runs;
    const of = (figure: string, key: 'loaded' | 'stepped'): Figure => {
      const seconds = (firsts: readonly First[]): number[] => firsts.map((first) => first[key]);
      return {
        figure,
        unit: 's',
        ours: median(seconds(ours!)),
        ...(theirs && {
          theirs: median(seconds(theirs)),
          ratio: ratioOf(seconds(ours!), seconds(theirs)),
        }),
      };
    };
    const stepped = of('start to first step done', 'stepped');
    return {
      workload,
      versions: { ...ours![0]!.versions, ...theirs?.[0]!.versions },
      figures: [
        of('start to loaded', 'loaded'),
        {
          ...stepped,
          ...(stepped.ratio && { goal: { text: '> 1x', reached: stepped.ratio.ofPairs > 1 } }),
        },
      ],
      ...(theirs && { sameWork: agreementOf([ours![0]!.step], [theirs[0]!.step]) }),
      samples: Object.fromEntries(
        runs.map((firsts, i) => [
          bench.sides[i]!.name,
          firsts.map(({ loaded, stepped: done }) => ({ loaded, stepped: done })),
        ]),
      ),
    };
  },
};
