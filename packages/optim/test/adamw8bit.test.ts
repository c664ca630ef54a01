/** @file 8-bit state: the maps and their codes, and the way of bitsandbytes' AdamW8bit. */
import { hostArray, type HostArray, reference, trace } from '@sdft/tensor';
import { cpu, webgpu } from '@sdft/tensor/node';
import { describe, expect, it } from 'vitest';
import { signedMap, unsignedMap } from '../src/dynamicMap.ts';
import { adamw8bit, stateType } from '../src/index.ts';
import { fixture } from './fixtures.ts';
import { unpacked, unpackedAll } from './packed.ts';
import { compiled } from './run.ts';

type Packed = Record<string, string>;
const { settings, shapes, encoded, start, gradients, steps } = fixture<{
  settings: {
    lr: number;
    betas: [number, number];
    eps: number;
    weight_decay: number;
    min_8bit_size: number;
  };
  shapes: Record<string, number[]>;
  encoded: Record<
    'signed' | 'unsigned',
    { map: string; values: string; largest: number; codes: number[] }
  >;
  start: Packed;
  gradients: Packed[];
  steps: { step: number; parameters: Packed; codes: Packed; scales: Packed }[];
}>('eight_bit');
const optimizer = adamw8bit({
  lr: settings.lr,
  beta1: settings.betas[0],
  beta2: settings.betas[1],
  epsilon: settings.eps,
  weightDecay: settings.weight_decay,
  min8bitSize: settings.min_8bit_size,
});
const backends = [reference, cpu(), webgpu()];

describe.each([
  ['signed', signedMap],
  ['unsigned', unsignedMap],
] as const)('the %s map', (name, map) => {
  const { map: theirs, values, largest, codes } = encoded[name];
  const scaled = unpacked(values).map((value) => value / largest);

  it('has the values of bitsandbytes, which are made in f32', () => {
    expect(map.values).toHaveLength(256);
    unpacked(theirs).forEach((value, i) => {
      expect(Math.abs(map.values[i]! - value)).toBeLessThanOrEqual(3e-7 * Math.abs(value));
    });
  });

  it.each(backends)(
    'gives the codes of bitsandbytes on $name, and its values back',
    async (backend) => {
      const all = [...scaled, ...map.values, 0, -1, 1].map((x) =>
        name === 'signed' ? x : Math.abs(x),
      );
      const graph = trace((t) => {
        const found = map.encode(t.input('x', [all.length]));
        return { outputs: { codes: found, values: map.decode(found) } };
      });
      const executable = await backend.compile(graph);
      const result = await executable.run({
        x: hostArray(Float32Array.from(all), [all.length]) as HostArray,
      });
      const found = [...result['codes']!.data];
      expect(found.slice(0, codes.length)).toEqual(codes);
      // Each value is its own nearest.
      const own = Array.from({ length: 256 }, (_, code) => code);
      expect(found.slice(codes.length, codes.length + 256)).toEqual(own);
      expect(found.slice(-3)).toEqual(name === 'signed' ? [127, 0, 255] : [0, 255, 255]);
      result['values']!.data.forEach((value, i) =>
        expect(value).toBeCloseTo(map.values[found[i]!]!, 7),
      );
      await executable.dispose();
    },
  );
});

const furthest = (values: ArrayLike<number>, expected: Float32Array): number =>
  Math.max(...expected.map((value, i) => Math.abs(values[i]! - value)));

describe.each(backends)('on $name', (backend) => {
  it('goes the way of bitsandbytes', async () => {
    const { run, executable } = await compiled(backend, optimizer, shapes, unpackedAll(start));
    let step = 0;
    for (const expected of steps) {
      let result: Awaited<ReturnType<typeof run>> = {};
      for (; step < expected.step; step++)
        result = await run(step, settings.lr, unpackedAll(gradients[step]!));
      // Some roundings of f32 at each step, of numbers up to 4. No code differs, though every one depends on all the steps before.
      for (const [name, text] of Object.entries(expected.parameters))
        expect(furthest(result[name]!.data, unpacked(text)), name).toBeLessThanOrEqual(
          2e-7 * (step + 10),
        );
      for (const [name, text] of Object.entries(expected.codes)) {
        const { data } = await executable.read(`state ${name}`);
        expect(data).toBeInstanceOf(Uint8Array);
        const theirs = [...Buffer.from(text, 'base64')];
        // Where a block's scale is 0, its codes mean nothing.
        if (!name.endsWith('.silent'))
          expect([...data.subarray(0, theirs.length)], name).toEqual(theirs);
      }
      for (const [name, text] of Object.entries(expected.scales)) {
        const { data } = await executable.read(`state ${name}`);
        unpacked(text).forEach((scale, i) => {
          expect(Math.abs(data[i]! - scale)).toBeLessThanOrEqual(1e-6 * scale);
        });
      }
    }
    await executable.dispose();
  });

  it('a step that is not finite comes to its end', async () => {
    const { run, executable } = await compiled(backend, optimizer, shapes, unpackedAll(start));
    for (const broken of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const given = unpackedAll(gradients[0]!);
      given['long']![300] = broken;
      const result = await run(0, settings.lr, given);
      expect([...result['long']!.data].every(Number.isFinite)).toBe(false);
    }
    await executable.dispose();
  });
});

describe('memory', () => {
  it('is a byte for each mean of each number, and a scale for 256 of them', () => {
    const states = adamw8bit({ lr: 1 }).init({ least: [64, 64], less: [4095], odd: [4097] });
    const bytes = Object.entries(states).map(([name, state]) => {
      const { shape, dtype } = stateType(state);
      return [name, shape.reduce((n, d) => n * d, dtype === 'u8' ? 1 : 4)];
    });
    expect(Object.fromEntries(bytes)).toEqual({
      ...{ 'm.least': 4096, 'mScale.least': 64, 'v.least': 4096, 'vScale.least': 64 },
      ...{ 'm.less': 4 * 4095, 'v.less': 4 * 4095 },
      ...{ 'm.odd': 17 * 256, 'mScale.odd': 68, 'v.odd': 17 * 256, 'vScale.odd': 68 },
    });
    expect(() => adamw8bit({ lr: 1, min8bitSize: 1.5 })).toThrow(
      /adamw8bit: min8bitSize must be a whole number, at least 0, got 1.5/,
    );
  });
});
