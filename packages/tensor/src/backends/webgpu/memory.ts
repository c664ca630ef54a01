/** @file Where each tensor of a program lies: few buffers, shared by tensors that are never alive at the same time. */
import { UserError } from '../../errors.ts';
import type { Target } from './kernel.ts';
import { type Program, type TensorId, tensorBytes } from './program.ts';

/** `working`: inputs, intermediates and results of one run. */
export type ArenaKind = 'weights' | 'states' | 'working';

export interface Region {
  readonly arena: number;
  /** Bytes from the arena's beginning. */
  readonly offset: number;
}

export interface Layout {
  /** By tensor. */
  readonly regions: readonly Region[];
  readonly arenas: readonly { readonly kind: ArenaKind; readonly bytes: number }[];
}

/** First and last step that a tensor must be there for, both included. */
export interface Lifetime {
  readonly from: number;
  readonly to: number;
}

/** From the steps, but for tensors within others, which have none of their own: given tensors from before the first, what is read at the end to after the last. */
export function lifetimesOf({
  tensors,
  steps,
  outputs,
  copies,
  packs,
}: Program): (Lifetime | undefined)[] {
  const from: (number | undefined)[] = tensors.map(({ origin }) =>
    origin.kind === 'temporary' || (origin.kind === 'pack' && origin.of === 'working')
      ? undefined
      : -1,
  );
  const to: number[] = tensors.map(() => -1);
  const within = new Map(
    packs.flatMap(({ tensor, members }) => members.map((one) => [one.tensor, tensor] as const)),
  );
  steps.forEach(({ operands }, at) => {
    for (const operand of operands) {
      const tensor = within.get(operand.tensor) ?? operand.tensor;
      from[tensor] ??= at;
      to[tensor] = at;
    }
  });
  const end = steps.length;
  for (const { tensor } of outputs.values()) to[tensor] = end;
  for (const copy of copies) to[copy.from] = end;
  tensors.forEach(({ origin }, id) => {
    if (origin.kind === 'faults') to[id] = end;
  });
  return from.map((first, id) =>
    first === undefined || within.has(id) ? undefined : { from: first, to: to[id]! },
  );
}

/** No arena grows beyond this, unless one tensor alone is larger: drivers give large pieces of memory less willingly. */
const ARENA = 2 ** 32;

interface Placed extends Lifetime {
  readonly offset: number;
  readonly end: number;
}

/** The lowest offset at which `bytes` fit between what is there during the same steps. */
function lowest(placed: readonly Placed[], { from, to }: Lifetime, bytes: number): number {
  let at = 0;
  for (const other of placed) {
    if (other.to < from || other.from > to) continue;
    if (other.offset >= at + bytes) break;
    at = Math.max(at, other.end);
  }
  return at;
}

/**
 * Places every tensor, the largest first. Throws UserError where one is larger than a buffer may be.
 * `bufferBytes` of the target bounds an arena.
 */
export function layOut(program: Program, { alignment, bufferBytes }: Target): Layout {
  const lifetimes = lifetimesOf(program);
  const arenas: { readonly kind: ArenaKind; bytes: number; readonly placed: Placed[] }[] = [];
  const regions: Region[] = [];
  const kindOf = (id: TensorId): ArenaKind => {
    const { origin } = program.tensors[id]!;
    if (origin.kind === 'pack') return origin.of;
    const { kind } = origin;
    return kind === 'state'
      ? 'states'
      : kind === 'weight' || kind === 'constant'
        ? 'weights'
        : 'working';
  };
  const sized = program.tensors.map((tensor, id) => ({
    id,
    bytes: Math.ceil(tensorBytes(tensor) / alignment) * alignment,
  }));
  const place = (id: TensorId, bytes: number, lifetime: Lifetime): void => {
    if (bytes > bufferBytes)
      throw new UserError(
        `a tensor of ${megabytes(bytes)} is larger than this device lets a buffer be (${megabytes(bufferBytes)}); lower the resolution or the batch`,
      );
    const kind = kindOf(id);
    for (const [arena, { kind: own, placed }] of arenas.entries()) {
      if (own !== kind) continue;
      const offset = lowest(placed, lifetime, bytes);
      if (offset + bytes > Math.min(bufferBytes, ARENA)) continue;
      insert(placed, { ...lifetime, offset, end: offset + bytes });
      arenas[arena]!.bytes = Math.max(arenas[arena]!.bytes, offset + bytes);
      regions[id] = { arena, offset };
      return;
    }
    arenas.push({ kind, bytes, placed: [{ ...lifetime, offset: 0, end: bytes }] });
    regions[id] = { arena: arenas.length - 1, offset: 0 };
  };
  const forever: Lifetime = { from: -1, to: program.steps.length };
  const within = new Set(program.packs.flatMap(({ members }) => members.map((m) => m.tensor)));
  const working = sized.filter(({ id }) => kindOf(id) === 'working');
  // What is there all the time stands side by side, in its own order.
  for (const { id, bytes } of sized)
    if (kindOf(id) !== 'working' && !within.has(id)) place(id, bytes, forever);
  for (const { id, bytes } of working.sort((a, b) => b.bytes - a.bytes)) {
    const lifetime = lifetimes[id];
    if (lifetime) place(id, bytes, lifetime);
  }
  for (const { tensor, members } of program.packs) {
    const { arena, offset } = regions[tensor]!;
    for (const one of members) regions[one.tensor] = { arena, offset: offset + one.from };
  }
  return { regions, arenas: arenas.map(({ kind, bytes }) => ({ kind, bytes })) };
}

/** By offset, ascending. */
function insert(placed: Placed[], one: Placed): void {
  let at = placed.length;
  while (at > 0 && placed[at - 1]!.offset > one.offset) at--;
  placed.splice(at, 0, one);
}

export const megabytes = (bytes: number): string =>
  bytes < 1e6 ? `${(bytes / 1e6).toFixed(3)} MB` : `${Math.ceil(bytes / 1e6)} MB`;
