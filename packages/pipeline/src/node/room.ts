/** @file Whether a step, or a picture, has room in this machine's memory. */
import { totalmem } from 'node:os';
import { type Backend, type MemoryPlan, UserError } from '@sdft/tensor';
import type { ResolvedRecipe } from '../recipe/composition.ts';

/** Memory in bytes. */
export interface Machine {
  /** All that there is, or that this process is allowed. */
  readonly total: number;
  /** What nobody uses. */
  readonly available: number;
}

/** The limit of a container counts. */
export function thisMachine(): Machine {
  const limit = process.constrainedMemory();
  return {
    total: limit > 0 ? Math.min(totalmem(), limit) : totalmem(),
    available: process.availableMemory(),
  };
}

/** Whether plans are held against this machine's memory: those of a graphics card that has its own are not, nor those of a backend that computes nothing. Throws UserError where there is no device. */
export const isHeld = async ({ name, room }: Pick<Backend, 'name' | 'room'>): Promise<boolean> =>
  name !== 'null' && ((await room?.()) ?? 'host') === 'host';

/** Node, ONNX Runtime and their notion of the graph: measured with that of full fine-tuning of Stable Diffusion 1.5. */
const PROGRAM = 0.5e9;

/** A network that is there beside the training step, such as the one that measures the validation loss. */
export interface Beside {
  /** What it is for, as messages say it: `the validation loss`. */
  readonly purpose: string;
  /** Bytes of its intermediates. */
  readonly bytes: number;
}

/** The largest of networks beside a step: others make room for it. Nothing is computed. */
export async function largestBeside(
  networks: readonly { readonly purpose: string; readonly memory: () => Promise<MemoryPlan> }[],
): Promise<Beside | undefined> {
  let largest: Beside | undefined;
  for (const { purpose, memory } of networks) {
    const { activations: bytes } = await memory();
    if (!largest || bytes > largest.bytes) largest = { purpose, bytes };
  }
  return largest;
}

/**
 * Holds what a run needs against what there is. Weights are left out: they stay in their files, which the system reads again when it needs their place. The plan counts no
 * work space of kernels, so that what is refused could not have run.
 *
 * @param beside the largest of the networks that are run between steps
 * @returns a warning where other programs would have to make room
 * @throws UserError where it is more than the machine has
 */
export function checkRoom(
  { activations, state }: MemoryPlan,
  { base, batch, data, recompute }: Pick<ResolvedRecipe, 'base' | 'batch' | 'data' | 'recompute'>,
  beside?: Beside,
  machine = thisMachine(),
): string | undefined {
  const cause =
    batch > 1
      ? `batch ${batch}`
      : data?.resolution === undefined
        ? `base ${base}`
        : `data.resolution ${data.resolution}`;
  const needed = activations + state + (beside?.bytes ?? 0) + PROGRAM;
  const other = beside ? `, ${beside.purpose} ${gigabytes(beside.bytes)}` : '';
  const demand = `${cause}: a run needs at least ${gigabytes(needed)} of memory beside the weights (activations ${gigabytes(activations)}, training state ${gigabytes(state)}${other}, the program itself ${gigabytes(PROGRAM)})`;
  const remedies = [
    ...(batch > 1 ? ['a smaller batch (accumulate makes up for it)'] : []),
    'a smaller data.resolution',
    ...(recompute ? [] : ['recompute']),
  ];
  const remedy = `${remedies.join(', ')}${activations > state ? '' : ', or training less of the model'}`;
  return held(needed, demand, remedy, 'run', machine);
}

/**
 * The same for the largest network that draws a picture.
 *
 * @param size of the picture, in pixels
 * @returns a warning where other programs would have to make room
 * @throws UserError where it is more than the machine has
 */
export function checkPictureRoom(
  { activations, state }: MemoryPlan,
  { width, height }: { readonly width: number; readonly height: number },
  machine = thisMachine(),
): string | undefined {
  const needed = activations + state;
  const demand = `a picture of ${width}x${height} needs at least ${gigabytes(needed)} of memory beside the weights`;
  return held(needed, demand, 'a smaller size', 'program', machine);
}

function held(
  needed: number,
  demand: string,
  remedy: string,
  what: string,
  machine: Machine,
): string | undefined {
  if (needed <= machine.available) return undefined;
  const [total, available] = [gigabytes(machine.total), gigabytes(machine.available)];
  if (needed > machine.total)
    throw new UserError(
      `${demand}, and this machine has ${total}, ${available} of it available; what helps: ${remedy}`,
    );
  return `${demand}; of this machine's ${total} only ${available} are available. Where they run out the system ends the ${what}. What helps: ending other programs, ${remedy}`;
}

const gigabytes = (count: number): string =>
  count < 1e9 ? `${(count / 1e6).toFixed(0)} MB` : `${(count / 1e9).toPrecision(3)} GB`;
