import { createHash } from 'node:crypto';
import { openSafetensors } from '@sdft/models/node';
import { hostArray, type HostArray, internal, UserError, type Weight } from '@sdft/tensor';
import type { BatchSource, MicroBatch } from '../batches/source.ts';
import type { PictureEncoder } from '../encoding/pictureEncoder.ts';
import { type Base, pixelsPerLatent } from '../training/base.ts';
import type { DrawSpec } from '../training/tracedDraws.ts';
import { some } from '../training/trainGraph.ts';

/** Tensors of a record that are no draws. */
const batchTensors = [
  'pixel_values',
  'input_ids',
  'multipliers',
  'latents',
  'context',
  'weight',
] as const;

/**
 * Micro-steps from a record: exactly its batches and draws. Tensors are read when their micro-step comes.
 *
 * @param instances of a batch that holds class pictures too; by default all are instances
 * @throws UserError, naming file and tensor, where the file is no record or its tensors do not fit the base
 */
export function replaySource(
  path: string,
  base: Base,
  encoder: PictureEncoder,
  options: { readonly withClass: boolean },
): BatchSource {
  const steps = microStepsOf(path);
  const first = steps[0]!;
  const fail = (why: string): UserError => new UserError(`${path}: ${why}`);
  const shapeOf = (name: string, rank: number): readonly number[] | undefined => {
    const shape = first.get(name)?.shape;
    if (shape && shape.length !== rank)
      throw fail(`0.${name} has shape [${shape.join(', ')}]; ${rank} axes are expected`);
    return shape;
  };
  const pixels = shapeOf('pixel_values', 4);
  const latents = shapeOf('latents', 4);
  const ids = shapeOf('input_ids', 2);
  const context = shapeOf('context', 3);
  const emphasis = shapeOf('multipliers', 2);
  if (!pixels && !latents) throw fail('holds neither 0.pixel_values nor 0.latents');
  if (!ids && !context) throw fail('holds neither 0.input_ids nor 0.context');
  const size = (latents ?? pixels)![0]!;
  const scale = pixelsPerLatent(base);
  const cells = latents
    ? ([latents[2]!, latents[3]!] as const)
    : ([Math.floor(pixels![2]! / scale), Math.floor(pixels![3]! / scale)] as const);
  const tokens = (ids ?? context)![1]!;
  const window = base.textEncoder.maxPositionEmbeddings;
  if (tokens > window && tokens % window !== 0)
    throw fail(`prompts have ${tokens} tokens; the text encoder takes ${window} or a multiple`);
  if (options.withClass && size % 2 !== 0)
    throw fail(
      `batches of ${size} pictures are no instances and as many class images, which this objective needs`,
    );
  if (emphasis && String(emphasis) !== String(ids))
    throw fail(
      `0.multipliers has shape [${emphasis.join(', ')}]; as many as input_ids are expected, [${ids?.join(', ') ?? 'none are there'}]`,
    );
  checkSteps(path, steps);
  const read = (k: number, name: string): HostArray => {
    const weight = steps[k]?.get(name);
    if (!weight) throw internal(`record has no ${k}.${name}`);
    return readHost(weight, `${path}: ${k}.${name}`);
  };

  return {
    size,
    instances: options.withClass ? size / 2 : size,
    latents: cells,
    pixels: pixels && [pixels[2]!, pixels[3]!],
    tokens,
    pictures: latents ? 'latents' : 'moments',
    prompts: { ids: ids !== undefined, context: context !== undefined },
    emphasis: emphasis !== undefined,
    weight: first.get('weight')?.shape,
    microSteps: steps.length,
    warnings: [],
    check: (draws) => checkDraws(path, first, draws),
    draw: (spec, k) => {
      const value = read(k, spec.name);
      const exact = spec.kind === 'integers' ? 'int32' : 'float32';
      if (value.dtype !== exact)
        throw fail(`${k}.${spec.name} holds ${value.dtype}, ${exact} is expected`);
      return value;
    },
    batch: async (k): Promise<MicroBatch> => ({
      moments: async () => {
        const batch = read(k, 'pixel_values');
        const one = batch.data.length / size;
        return Promise.all(
          Array.from({ length: size }, (_, i) => {
            const picture = (batch.data as Float32Array).slice(i * one, (i + 1) * one);
            const key = createHash('sha256').update(new Uint8Array(picture.buffer)).digest('hex');
            return encoder.moments(
              key,
              cells[0] * cells[1],
              async () => hostArray(picture, batch.shape.slice(1)) as HostArray,
            );
          }),
        );
      },
      pixels: async () => read(k, 'pixel_values'),
      latents: () => read(k, 'latents'),
      ids: ids && rowsOf(read(k, 'input_ids')),
      multipliers: emphasis && rowsOf(read(k, 'multipliers')),
      context: () => read(k, 'context'),
      weight: () => read(k, 'weight'),
    }),
  };
}

/** The tensors of each micro-step by their names. */
function microStepsOf(path: string): ReadonlyMap<string, Weight>[] {
  const steps: Map<string, Weight>[] = [];
  for (const [name, weight] of openSafetensors(path).tensors) {
    const match = /^(\d+)\.(.+)$/.exec(name);
    if (!match)
      throw new UserError(
        `${path}: is no record: its tensors are called K.NAME (0.noise), not ${name}`,
      );
    const k = Number(match[1]);
    (steps[k] ??= new Map()).set(match[2]!, weight);
  }
  if (steps.length === 0) throw new UserError(`${path}: is no record: it holds no tensors`);
  for (let k = 0; k < steps.length; k++)
    if (!steps[k])
      throw new UserError(
        `${path}: micro-step ${k} is missing, though there are ${steps.length}; record the run again`,
      );
  return steps;
}

/** One graph serves the whole run: every micro-step holds the same tensors, in the same shapes. */
function checkSteps(path: string, steps: readonly ReadonlyMap<string, Weight>[]): void {
  const describe = (step: ReadonlyMap<string, Weight>) =>
    new Map([...step].map(([name, { shape }]) => [name, `[${shape.join(', ')}]`]));
  const expected = describe(steps[0]!);
  steps.forEach((step, k) => {
    for (const [name, shape] of describe(step))
      if (expected.get(name) !== shape)
        throw new UserError(
          `${path}: ${k}.${name} is ${shape}, 0.${name} is ${expected.get(name) ?? 'missing'}; all micro-steps must hold the same`,
        );
    const missing = [...expected.keys()].find((name) => !step.has(name));
    if (missing !== undefined)
      throw new UserError(`${path}: ${k}.${missing} is missing, though 0.${missing} is there`);
  });
}

function checkDraws(
  path: string,
  first: ReadonlyMap<string, Weight>,
  draws: readonly DrawSpec[],
): void {
  for (const { name, shape } of draws) {
    const weight = first.get(name);
    if (!weight)
      throw new UserError(
        `${path}: holds no draw called ${name}, which this run needs; it has ${[...first.keys()].join(', ')}`,
      );
    if (String(weight.shape) !== String(shape))
      throw new UserError(
        `${path}: 0.${name} has shape [${weight.shape.join(', ')}], this run draws [${shape.join(', ')}]`,
      );
  }
  const known = new Set<string>([...batchTensors, ...draws.map(({ name }) => name)]);
  const unused = [...first.keys()].filter((name) => !known.has(name) && name !== 'posterior_noise');
  if (unused.length > 0)
    throw new UserError(
      `${path}: holds draws that this run does not use (${some(unused)}): it was recorded with other settings`,
    );
}

function rowsOf({ data, shape }: HostArray): number[][] {
  const [rows = 0, length = 0] = shape;
  return Array.from({ length: rows }, (_, i) =>
    Array.from(data.subarray(i * length, (i + 1) * length)),
  );
}

/** A stored tensor as the engine takes it: f32, and i32 for integers. Throws UserError for other types and integers beyond i32. */
function readHost(weight: Weight, where: string): HostArray {
  const bytes = weight.read();
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset, byteLength } = aligned;
  const wrap = (data: Float32Array | Int32Array) => hostArray(data, weight.shape) as HostArray;
  switch (weight.dtype) {
    case 'f32':
      return wrap(new Float32Array(buffer, byteOffset, byteLength / 4));
    case 'f64':
      return wrap(Float32Array.from(new Float64Array(buffer, byteOffset, byteLength / 8)));
    case 'i32':
      return wrap(new Int32Array(buffer, byteOffset, byteLength / 4));
    case 'i64': {
      const wide = new BigInt64Array(buffer, byteOffset, byteLength / 8);
      const outside = wide.find((value) => BigInt.asIntN(32, value) !== value);
      if (outside !== undefined) throw new UserError(`${where}: ${outside} is out of range`);
      return wrap(Int32Array.from(wide, Number));
    }
    default:
      throw new UserError(`${where}: is stored as ${weight.dtype}; F32 or I64 is expected`);
  }
}
