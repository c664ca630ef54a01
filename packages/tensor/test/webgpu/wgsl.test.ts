/** @file Every kernel of the operations' cases and of whole networks is WGSL that Dawn accepts, for every kind of device; nothing is computed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepare } from '../../src/backends/webgpu/backend.ts';
import { lower } from '../../src/backends/webgpu/lower.ts';
import type { Graph } from '../../src/graph/types.ts';
import { unetLike } from '../cpu/support/unetLike.ts';
import { functionExamples, graphOf, primitiveExamples } from '../support/cases.ts';
import { closeDevice, type Device, openWith } from './device.ts';
import { large, lavapipe, smallest } from './targets.ts';

const networks = [0, 1].map((seed) => unetLike(seed));
const operations = [...Map.groupBy([...primitiveExamples, ...functionExamples], (e) => e.op)].map(
  ([, examples]) => graphOf(examples),
);
const targets = [
  { name: 'the least that WebGPU promises', target: smallest, precision: 'f32' },
  { name: 'a large card', target: large, precision: 'f32' },
  { name: 'a large card, in f16', target: large, precision: 'f16' },
  { name: 'lavapipe', target: lavapipe, precision: 'f32' },
] as const;

describe('on a device that only checks', () => {
  let device: Device;
  beforeAll(async () => {
    device = await openWith(['backend=null']);
  });
  afterAll(() => closeDevice(device));

  it.for(targets)('$name', async ({ target, precision }) => {
    const codes = new Map<string, string>();
    const add = (graph: Graph): void => {
      const { steps } = lower(prepare(graph, target, precision), target, { precision });
      for (const { kernel } of steps) {
        codes.set(kernel.code, kernel.name);
        expect(kernel.operands.length).toBeLessThanOrEqual(target.bindings);
        for (const count of kernel.workgroups) expect(count).toBeLessThanOrEqual(target.workgroups);
      }
    };
    for (const graph of [...networks, ...operations]) add(graph);
    expect(codes.size).toBeGreaterThan(500);
    for (const [code, name] of codes) {
      device.gpu.pushErrorScope('validation');
      device.gpu.createShaderModule({ code });
      const error = await device.gpu.popErrorScope();
      expect(error?.message, `${name}\n${code}`).toBeUndefined();
    }
  });
});
