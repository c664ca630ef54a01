/** @file What becomes of gpu.js's shaders is WGSL that Dawn accepts, whatever their tensors are stored as. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepare } from '../../src/backends/webgpu/backend.ts';
import { lower } from '../../src/backends/webgpu/lower.ts';
import { openTranslator } from '../../src/custom/gpujs.ts';
import { trace } from '../../src/index.ts';
import { closeDevice, type Device, openWith } from '../webgpu/device.ts';
import { large, smallest } from '../webgpu/targets.ts';
import { doubled, product, swish } from './operations.ts';

const graph = trace((t) => {
  const x = t.input('x', [2, 3, 16, 16]).mul(2);
  // Read in two places by one kernel, and long: a line of more groups than fit side by side.
  const rows = x.reshape([-1, 256]).slice(1, 0, 5).mul(3);
  const long = doubled(t.input('long', [5_000_000]));
  return { outputs: { y: swish(x.add(1)).mul(2), p: product(rows, rows), long } };
});

describe('shaders of custom operations', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openWith(['backend=null']);
  });
  afterAll(() => closeDevice(device));

  it.for([
    { target: smallest, precision: 'f32' },
    { target: large, precision: 'f16' },
  ] as const)('in $precision', async ({ target, precision }) => {
    const { wgsl } = await openTranslator();
    const program = lower(prepare(graph, target, precision), target, {
      precision,
      translate: wgsl,
    });
    const kernels = program.steps.filter(({ kernel }) => kernel.name.startsWith('custom'));
    expect(kernels.map(({ kernel }) => kernel.name).sort()).toEqual([
      ...['custom doubled', 'custom product', 'custom swish'],
    ]);
    for (const { kernel, operands } of kernels) {
      expect(new Set(operands.map(({ tensor }) => tensor)).size).toBe(operands.length);
      for (const count of kernel.workgroups) expect(count).toBeLessThanOrEqual(target.workgroups);
      device.gpu.pushErrorScope('validation');
      device.gpu.createShaderModule({ code: kernel.code });
      const error = await device.gpu.popErrorScope();
      expect(error?.message, kernel.code).toBeUndefined();
    }
    const stored = kernels.flatMap(({ kernel }) => kernel.operands.map(({ storage }) => storage));
    expect(stored.includes('f16')).toBe(precision === 'f16');
  });
});
