/** @file Merging, extracting and resizing against kohya's tools and diffusers (tools/lora/make_tools.py). */
import { join } from 'node:path';
import { readFloat32, weightOf } from '@sdft/models';
import { openCheckpoint, openSafetensors } from '@sdft/models/node';
import { openBase } from '@sdft/pipeline';
import { type Weight } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { describe, expect, it } from 'vitest';
import {
  extractLora,
  mergeLora,
  readNetwork,
  type RankRule,
  resizeLora,
  writeNetwork,
  writeWholeModel,
} from '../../src/index.ts';
import { kohyaName } from '../../src/lora/files/layerNames.ts';
import type { LearnedLayer } from '../../src/lora/files/network.ts';
import { clampBoth } from '../../src/lora/tools/extract.ts';
import { LargestSingular } from '../../src/lora/tools/largestSingular.ts';
import { jacobi, orthonormal, product, transposed } from '../../src/lora/tools/orthogonal.ts';
import { goldens, json, temporaryFolder } from '../support/fixtures.ts';
import { at } from './oracles.ts';

interface Seen {
  readonly norm: number;
  readonly some: readonly number[];
}
interface Tools {
  readonly merge: Readonly<Record<'kohya' | 'diffusers', Readonly<Record<string, Seen>>>>;
  readonly extract: {
    readonly layers: readonly string[];
    readonly products: Readonly<Record<string, Seen>>;
  };
  readonly resize: readonly {
    readonly file: 'kohya' | 'kohya_lora';
    readonly rank: number;
    readonly convRank: number;
    readonly rule?: RankRule['name'];
    readonly value?: number;
    readonly layers: Readonly<Record<string, Seen & { rank: number; alpha: number }>>;
  }[];
}
const tools = json<Tools>(at('tools.json'));
const backend = cpu({ threads: 1 });
const folder = temporaryFolder();
const base = await openBase(goldens('tiny-sd'));
const kohyas = goldens('train/kohya_lora/result.safetensors');

/** The same numbers as the fixture's, and no larger or smaller as a whole, in parts of its largest. */
function expectSeen(values: ArrayLike<number>, { norm, some }: Seen, within: number, name: string) {
  const places = some.map((_, i) => Math.trunc((i * (values.length - 1)) / (some.length - 1)));
  const own = Math.hypot(...Array.from(values));
  const size = Math.max(norm, 1e-12);
  expect(Math.abs(own - norm) / size, name).toBeLessThan(within);
  places.forEach((place, i) =>
    expect(Math.abs(values[place]! - some[i]!) / size, name).toBeLessThan(within),
  );
}
const columns = (rows: number, count: number, value: (i: number, j: number) => number) =>
  Array.from({ length: count }, (_, j) =>
    Float64Array.from({ length: rows }, (_, i) => value(i, j)),
  );
const difference = (after: Weight, before: Weight): Float32Array => {
  const from = readFloat32(before);
  return readFloat32(after).map((value, i) => value - from[i]!);
};
/** up down, without scale. */
function productOf({ tensors }: LearnedLayer): number[] {
  const [up, down] = ['lora_up', 'lora_down'].map((name) => tensors[name]!);
  const rank = down!.shape[0]!;
  const [left, right] = [up, down].map((weight) => readFloat32(weight!));
  const [out, inner] = [left!.length / rank, right!.length / rank];
  return Array.from({ length: out * inner }, (_, at) => {
    const [row, column] = [Math.floor(at / inner), at % inner];
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += left![row * rank + r]! * right![r * inner + column]!;
    return sum;
  });
}

describe('merge', () => {
  it.each([
    [
      'kohya',
      [
        { file: kohyas, strength: 0.7 },
        { file: at('kohya.result.safetensors'), strength: -1.5 },
      ],
    ],
    ['diffusers', [{ file: goldens('train/lora/result.safetensors'), strength: 0.6 }]],
  ] as const)('gives the weights of %s', async (tool, files) => {
    const merged = await mergeLora(base, files, backend);
    const wanted = Object.entries(tools.merge[tool]);
    expect(wanted.length).toBeGreaterThan(1);
    // The sum of a weight and its change is rounded to f32: a tenth of a millionth of the weight.
    for (const [name, seen] of wanted)
      expectSeen(difference(merged.get(name)!, base.weights.get(name)!), seen, 2e-3, name);
    const changed = [...merged].filter(([name, weight]) => weight !== base.weights.get(name));
    expect(changed.length).toBeGreaterThanOrEqual(wanted.length);
  });

  it('is written as a model that opens with those weights, in each layout, stored as the base has them', async () => {
    const merged = await mergeLora(base, [{ file: kohyas }], backend);
    const name = [...merged.keys()].find((key) => merged.get(key) !== base.weights.get(key))!;
    for (const path of ['merged', 'merged.safetensors', 'merged.ckpt'].map((end) =>
      join(folder, end),
    )) {
      await writeWholeModel(path, base, merged, { force: true });
      const { weights } = await openCheckpoint(path);
      expect(weights.get(name)!.dtype).toBe('f32');
      for (const [key, weight] of weights)
        expect(Buffer.from(weight.read()).equals(Buffer.from(merged.get(key)!.read())), key).toBe(
          true,
        );
    }
  });

  it('refuses what is no LoRA, or one for other models', async () => {
    await expect(
      mergeLora(base, [{ file: goldens('train/db_prior/result.safetensors') }], backend),
    ).rejects.toThrow(/is no file of the LoRA family/);
  });
});

describe('extract', () => {
  const tunedWeights = new Map([
    ...base.weights,
    ...openSafetensors(goldens('train/db_prior/result.safetensors')).tensors,
  ]);
  const tuned = { ...base, name: 'tuned', weights: tunedWeights };
  const options = { rank: 4, convRank: 2, clampQuantile: 1, minDiff: 0.01, backend };

  it("finds the changes that kohya's finds, at the same layers", async () => {
    const { layers, sameText, others, kept } = await extractLora(base, tuned, options);
    expect(sameText).toBe(true);
    expect([...layers.keys()].map(kohyaName).sort()).toEqual(tools.extract.layers);
    const byName = new Map([...layers].map(([path, layer]) => [kohyaName(path), layer]));
    // Singular values that lie close together turn with the last bits of the difference.
    for (const [name, seen] of Object.entries(tools.extract.products))
      expectSeen(productOf(byName.get(name)!), seen, 1e-3, name);
    expect(kept).toBeGreaterThan(0.1);
    expect(kept).toBeLessThan(1);
    expect(others).toContain('unet.conv_in.weight');
  });

  it('cuts factors off where kohya does', () => {
    const { tensors } = openSafetensors(at('tools.safetensors'));
    const stems = [...tensors.keys()].flatMap((key) =>
      key.startsWith('whole.') && key.endsWith('lora_up.weight') ? [key.slice(6, -15)] : [],
    );
    expect(stems.length).toBeGreaterThan(1);
    for (const stem of stems) {
      const of = (kind: string, part: string) =>
        Float32Array.from(readFloat32(tensors.get(`${kind}.${stem}.${part}.weight`)!));
      const [up, down] = [of('whole', 'lora_up'), of('whole', 'lora_down')];
      clampBoth(up, down, 0.99);
      const close = (mine: Float32Array, theirs: Float32Array) =>
        mine.forEach((value, i) => expect(Math.abs(value - theirs[i]!)).toBeLessThan(1e-7));
      close(up, of('clamped', 'lora_up'));
      close(down, of('clamped', 'lora_down'));
    }
  });

  it('takes the text encoder in where it differs, and gives back what was merged', async () => {
    const one = 'text_encoder.text_model.encoder.layers.0.self_attn.q_proj.weight';
    const values = readFloat32(base.weights.get(one)!).map((value) => value * 1.5);
    const weights = new Map(base.weights).set(
      one,
      weightOf('f32', base.weights.get(one)!.shape, new Uint8Array(values.buffer)),
    );
    const { layers, sameText } = await extractLora(
      base,
      { ...base, weights },
      { ...options, rank: 999 },
    );
    expect(sameText).toBe(false);
    const file = join(folder, 'extracted.safetensors');
    await writeNetwork(file, layers, { format: 'kohya' });
    const merged = await mergeLora(base, [{ file }], backend);
    const back = readFloat32(merged.get(one)!);
    values.forEach((value, i) => expect(back[i]!).toBeCloseTo(value, 5));
  });

  it('refuses models that are the same, or of other sizes', async () => {
    await expect(extractLora(base, { ...base, name: 'twin' }, options)).rejects.toThrow(
      /twin: is the same as/,
    );
    const weights = new Map(base.weights);
    weights.delete('unet.conv_in.weight');
    await expect(extractLora(base, { ...base, name: 'other', weights }, options)).rejects.toThrow(
      /other: unet.conv_in.weight is missing, in .* it is \[/,
    );
  });
});

describe('resize', () => {
  it.each(tools.resize)('$file to rank $rank, $rule $value: as kohya', async (wanted) => {
    const { file, rank, convRank, rule, value } = wanted;
    const path = file === 'kohya' ? at('kohya.result.safetensors') : kohyas;
    const { layers } = await readNetwork(path);
    const resized = resizeLora(
      layers,
      { rank, convRank, ...(rule && { rule: { name: rule, value: value! } }) },
      path,
    );
    const out = join(folder, 'resized.safetensors');
    await writeNetwork(out, resized.layers, { format: 'kohya', force: true });
    const byName = new Map(
      [...(await readNetwork(out)).layers].map(([at, layer]) => [kohyaName(at), layer]),
    );
    for (const [name, seen] of Object.entries(wanted.layers)) {
      const layer = byName.get(name)!;
      const own = layer.tensors['lora_down']!.shape[0]!;
      expect(own, name).toBe(seen.rank);
      expect(layer.scale * own, name).toBeCloseTo(seen.alpha, 5);
      expectSeen(productOf(layer), seen, 1e-4, name);
    }
  });

  it('refuses LoHa, and leaves norms alone', async () => {
    const loha = at('lycoris-loha.result.safetensors');
    const network = await readNetwork(loha);
    expect(() => resizeLora(network.layers, { rank: 2 }, loha)).toThrow(
      /is loha at .*resize is for/,
    );
  });
});

describe('singular values', () => {
  const matrix = (rows: number, count: number) =>
    columns(rows, count, (i, j) => {
      const wild = Math.sin(1 + i * 12.9898 + j * 78.233) * 43758.5453;
      return (wild - Math.floor(wild) - 0.5) / (1 + j / 4);
    });

  it('of a small matrix: orthonormal vectors, and the matrix again', () => {
    const a = matrix(30, 12);
    const { u, s, v } = jacobi(a);
    const scaled = u.map((column, i) => column.map((value) => value * s[i]!));
    product(scaled, transposed(v)).forEach((column, j) =>
      column.forEach((value, i) => expect(value).toBeCloseTo(a[j]![i]!, 12)),
    );
    for (const vectors of [u, v])
      product(transposed(vectors), vectors).forEach((column, j) =>
        column.forEach((value, i) => expect(value).toBeCloseTo(i === j ? 1 : 0, 12)),
      );
    expect(s).toEqual([...s].sort((x, y) => y - x));
  });

  it('are found where columns depend on one another', () => {
    const [first, second] = matrix(20, 2) as [Float64Array, Float64Array];
    const { q, r } = orthonormal([first, second, first.map((x, i) => x - 2 * second[i]!)]);
    expect(r[2]![2]).toBe(0);
    expect(q[2]!.every((value) => value === 0)).toBe(true);
    expect(jacobi(r).s[2]).toBeCloseTo(0, 12);
  });

  it.each([
    [300, 120],
    [90, 200],
  ])('of %i x %i: the largest, by few vectors, are those of the whole', async (rows, count) => {
    const a = matrix(rows, count);
    const data = Float32Array.from(
      { length: rows * count },
      (_, at) => a[at % count]![Math.floor(at / count)]!,
    );
    const singular = new LargestSingular(backend);
    const found = await singular.of(data, [rows, count], 8);
    await singular.dispose();
    const exact = jacobi(rows > count ? a : transposed(a));
    const left = rows > count ? exact.u : exact.v;
    found.s.forEach((s, i) => {
      expect(s / exact.s[i]!).toBeCloseTo(1, 3);
      const along = found.u[i]!.reduce((sum, value, k) => sum + value * left[i]![k]!, 0);
      expect(Math.abs(along)).toBeGreaterThan(0.99);
    });
  });
});
