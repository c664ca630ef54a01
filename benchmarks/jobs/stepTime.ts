/** @file Jobs that time a training step. */
import { inTurns, warmUp } from '../measure/inTurns.ts';
import { agreementOf } from '../measure/sameWork.ts';
import { median, ratioOf } from '../measure/statistics.ts';
import { type Job, prepare, type Workload } from './job.ts';

/** @param atLeast how many times as fast as theirs ours is meant to be */
export const stepTime = (
  job: Pick<Job, 'name' | 'about'> & { readonly workload: Workload; readonly atLeast?: number },
): Job => ({
  name: job.name,
  about: job.about,
  run: async (bench) => {
    const pairs = bench.pairs ?? 10;
    const { task, workload } = await prepare(bench, job.workload, warmUp + pairs);
    const [ours, theirs] = await inTurns(bench, task, pairs);
    const ratio = theirs && ratioOf(ours!.seconds, theirs.seconds);
    const { atLeast } = job;
    return {
      workload,
      versions: { ...ours!.versions, ...theirs?.versions },
      figures: [
        {
          figure: 'seconds a step',
          unit: 's',
          ours: median(ours!.seconds),
          ...(theirs && ratio && { theirs: median(theirs.seconds), ratio }),
          ...(ratio &&
            atLeast !== undefined && {
              goal: { text: `>= ${atLeast}x`, reached: ratio.ofPairs >= atLeast },
            }),
        },
      ],
      ...(theirs && { sameWork: agreementOf(ours!.steps, theirs.steps) }),
      samples: { ours: ours!.seconds, ...(theirs && { theirs: theirs.seconds }) },
    };
  },
});
