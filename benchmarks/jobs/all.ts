import { batches } from './batches.ts';
import { ti34mClip } from './ti34mClip.ts';
import { firstStep } from './firstStep.ts';
import type { Job } from './job.ts';
import { memory } from './memory.ts';
import { methods } from './methods.ts';
import { recompute } from './recompute.ts';
import { ti34m } from './ti34m.ts';
import { tiSd15 } from './tiSd15.ts';

/** In the order in which they run. */
export const jobs: readonly Job[] = [
  tiSd15,
  ti34m,
  ti34mClip,
  memory,
  recompute,
  firstStep,
  batches,
  methods,
];
