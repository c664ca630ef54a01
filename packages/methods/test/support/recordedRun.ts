/** @file Runs of reference programs on the whole U-Net, and more, trained again from what they drew. */
import { readFloat32 } from '@sdft/models';
import { openSafetensors } from '@sdft/models/node';
import { expect } from 'vitest';
import { type Backend, openBase, type Pipeline } from '../../src/index.ts';
import { json, pathOf, reports } from './fixtures.ts';

export interface RecordedRun {
  readonly name: string;
  /** Its folder in the repository. */
  readonly folder: string;
  /** What it drew; by default in that folder. */
  readonly record?: string;
  readonly base: string;
  /** Everything but the base. */
  readonly stem: Pipeline;
}

interface MicroStep {
  readonly loss: number;
  readonly lr?: number | readonly number[];
  readonly grad_norm?: number;
  readonly grad_norm_before_clip?: number;
}
interface Noise {
  readonly uncertain?: readonly string[];
  readonly ill_conditioned?: readonly string[];
  readonly suggested_tolerance: {
    readonly relative_error_of_update: number;
    readonly worst_tensor: number;
    readonly loss_abs: number;
    readonly grad_norm_relative?: number;
  };
}

type Values = ReadonlyMap<string, Float32Array>;

/** Trains a recipe on a case's record; what was said, and by how much every trained tensor moved. */
export async function train(
  { folder, base, record }: RecordedRun,
  stem: Pipeline,
  backend: Backend,
) {
  await using run = await stem
    .model(base)
    .clip(1)
    .build({ replay: record ?? pathOf(`${folder}/replay.safetensors`), backend });
  const said = await reports(run);
  const { weights } = await openBase(base);
  const moved = new Map<string, Float32Array>();
  for (const [path, parameters] of (await run.trainables())[0]!)
    for (const [name, { data }] of Object.entries(parameters)) {
      const from = readFloat32(weights.get(`${path}.${name}`)!);
      moved.set(
        `${path}.${name}`,
        Float32Array.from(data, (value, i) => value - from[i]!),
      );
    }
  return { said, moved, from: weights };
}

const norm = (values: Float32Array): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
const product = (values: Float32Array): number =>
  values.reduce((sum, value, i) => sum + value * Math.cos(i + 1), 0);

/** By how much the tensors that the case holds whole moved. */
function movesIn(folder: string, from: Awaited<ReturnType<typeof train>>['from']): Values {
  const { tensors } = openSafetensors(pathOf(`${folder}/result.safetensors`));
  return new Map(
    [...tensors].map(([name, weight]) => {
      const start = readFloat32(from.get(name)!);
      return [name, readFloat32(weight).map((value, i) => value - start[i]!)];
    }),
  );
}

/**
 * Repeats a case; every loss, rate, norm and trained tensor must be the reference program's. Of tensors whose gradient is zero in exact arithmetic only the size counts.
 */
export async function expectRun(one: RecordedRun, backend: Backend): Promise<void> {
  const { said, moved, from } = await train(one, one.stem, backend);
  const { micro_steps: expected } = json<{ micro_steps: MicroStep[] }>(
    pathOf(`${one.folder}/loss.json`),
  );
  const noise = json<Noise>(pathOf(`${one.folder}/noise.json`));
  const tolerance = noise.suggested_tolerance;
  said
    .flatMap(({ losses }) => losses)
    .forEach((loss, k) =>
      expect(Math.abs(loss - expected[k]!.loss), `loss of micro-step ${k}`).toBeLessThanOrEqual(
        tolerance.loss_abs,
      ),
    );
  const each = expected.length / said.length;
  said.forEach(({ lr, gradNorm }, n) => {
    const step = expected[(n + 1) * each - 1]!;
    expect(lr).toBeCloseTo([step.lr!].flat()[0]!, 15);
    const size = (step.grad_norm ?? step.grad_norm_before_clip)!;
    expect(Math.abs(gradNorm / size - 1), `norm of step ${n + 1}`).toBeLessThanOrEqual(
      tolerance.grad_norm_relative ?? 1e-4,
    );
  });

  const uncertain = new Set([...(noise.uncertain ?? []), ...(noise.ill_conditioned ?? [])]);
  const whole = movesIn(one.folder, from);
  let [difference, size] = [0, 0];
  for (const [name, theirs] of whole) {
    const ours = moved.get(name)!;
    const error = norm(ours.map((value, i) => value - theirs[i]!));
    difference += error ** 2;
    size += norm(theirs) ** 2;
    if (uncertain.has(name)) expect(norm(ours), name).toBeLessThan(4 * norm(theirs));
    else expect(error / norm(theirs), name).toBeLessThanOrEqual(tolerance.worst_tensor);
  }
  expect(Math.sqrt(difference / size)).toBeLessThanOrEqual(tolerance.relative_error_of_update);
  expectEach(one, moved, uncertain, tolerance.worst_tensor);
}

/** Every tensor, by the two numbers that a case holds of it where it does not hold it whole. */
function expectEach(
  { folder }: RecordedRun,
  moved: Values,
  uncertain: ReadonlySet<string>,
  tolerance: number,
): void {
  if (folder.startsWith('fixtures/goldens')) return;
  const updates = json<Record<string, [number, number]>>(pathOf(`${folder}/updates.json`));
  expect([...moved.keys()].sort()).toEqual(Object.keys(updates).sort());
  for (const [name, [theirs, theirProduct]] of Object.entries(updates)) {
    const ours = moved.get(name)!;
    if (uncertain.has(name)) {
      expect(norm(ours), name).toBeLessThan(4 * theirs);
      continue;
    }
    expect(Math.abs(norm(ours) / theirs - 1), name).toBeLessThanOrEqual(tolerance);
    expect(Math.abs(product(ours) - theirProduct) / theirs, name).toBeLessThanOrEqual(tolerance);
  }
}
