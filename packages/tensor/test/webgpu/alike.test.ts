/** @file Kernels that differ by numbers alone, made one on devices that compute on the processor. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unite } from '../../src/backends/webgpu/alike.ts';
import { prepare } from '../../src/backends/webgpu/backend.ts';
import type { Kernel } from '../../src/backends/webgpu/kernel.ts';
import { lower } from '../../src/backends/webgpu/lower.ts';
import type { Graph } from '../../src/graph/types.ts';
import { hostArray, reference, trace } from '../../src/index.ts';
import { unetLike } from '../cpu/support/unetLike.ts';
import { testedWebgpu } from '../support/webgpu.ts';
import { closeDevice, type Device, openWith } from './device.ts';
import { large, lavapipe } from './targets.ts';

const lowered = (graph: Graph, target = lavapipe) =>
  lower(prepare(graph, target, 'f32'), target, { precision: 'f32' });
const codesOf = (steps: readonly { readonly kernel: Kernel }[]) =>
  new Set(steps.map(({ kernel }) => kernel.code));

/** A kernel with its numbers written out again. */
const written = ({ code, numbers = [] }: Kernel): string =>
  code
    .split('\n')
    .filter((line) => !/^(requires imm|struct Numbers|var<imm|let n0 = numbers)/.test(line))
    .join('\n')
    .replace(/\b(?:numbers\.)?n(\d+)\b/g, (_, slot: string) => `${numbers[Number(slot)]}u`);

/** Products, sums and transposes of several sizes. */
const sizes = [
  [3, 5, 7],
  [11, 2, 6],
  [9, 24, 5],
] as const;
const mixed = trace((t) => {
  const parts = sizes.map(([m, n, k], i) => {
    const y = t.input(`a${i}`, [m, k]).matmul(t.input(`b${i}`, [k, n]));
    return y.transpose(0, 1).add(1).square().sum([1]).mean();
  });
  return { outputs: { loss: parts.reduce((a, b) => a.add(b)) } };
});

describe('kernels that differ by numbers alone', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openWith(['backend=null']);
  });
  afterAll(() => closeDevice(device));

  it.each([unetLike(0), unetLike(1), mixed])('are one code, which Dawn accepts', async (graph) => {
    const before = lowered(graph);
    const after = unite(before, lavapipe);
    expect(codesOf(after.steps).size).toBeLessThan(0.8 * codesOf(before.steps).size);
    for (const [i, { kernel }] of after.steps.entries()) {
      expect(written(kernel)).toBe(before.steps[i]!.kernel.code);
      expect(kernel.workgroups).toEqual(before.steps[i]!.kernel.workgroups);
      expect(kernel.numbers?.length ?? 0).toBeLessThanOrEqual(lavapipe.immediates);
    }
    for (const code of codesOf(after.steps)) {
      device.gpu.pushErrorScope('validation');
      device.gpu.createShaderModule({ code });
      const error = await device.gpu.popErrorScope();
      expect(error?.message, code).toBeUndefined();
    }
  });

  it('stay apart on graphics cards, and where a dispatch takes no numbers', () => {
    for (const target of [large, { ...lavapipe, immediates: 0 }]) {
      const program = lowered(mixed, target);
      expect(unite(program, target)).toBe(program);
    }
  });

  it('compute what they computed', async () => {
    const inputs = Object.fromEntries(
      sizes.flatMap(([m, n, k], i) =>
        (
          [
            [`a${i}`, [m, k]],
            [`b${i}`, [k, n]],
          ] as const
        ).map(([name, shape]) => [
          name,
          hostArray(
            Float32Array.from({ length: shape[0] * shape[1] }, (_, j) => Math.sin(j + i)),
            [...shape],
          ),
        ]),
      ),
    );
    const losses: number[] = [];
    for (const backend of [reference, testedWebgpu()]) {
      const executable = await backend.compile(mixed);
      losses.push((await executable.run(inputs))['loss']!.get());
      await executable.dispose();
    }
    expect(losses[1]! / losses[0]!).toBeCloseTo(1, 5);
  });
});
