/** @file Element-wise kernels whose threads compute four elements: which are so, and that they give what the reference gives. */
import { describe, expect, it } from 'vitest';
import { prepare } from '../../src/backends/webgpu/backend.ts';
import { lower } from '../../src/backends/webgpu/lower.ts';
import {
  concat,
  draws,
  type Graph,
  type HostArray,
  hostArray,
  reference,
  type Shape,
  silu,
  type Tensor,
  trace,
  type Weight,
} from '../../src/index.ts';
import { backends, expectClose } from '../support/backends.ts';
import { testedWebgpu } from '../support/webgpu.ts';
import { closeDevice, openWith } from './device.ts';
import { large as gpu, lavapipe, smallest } from './targets.ts';

/** Just enough for four elements to a thread. */
const [ROWS, COLUMNS] = [260, 256];
const shape = [ROWS, COLUMNS];
const SIZE = ROWS * COLUMNS;

const graphOf = (compute: (x: Tensor, y: Tensor) => Tensor): Graph =>
  trace((t) => ({ outputs: { z: compute(t.input('x', shape), t.input('y', shape)) } }));
/** Of the one kernel of a graph. */
function codeOf(graph: Graph, precision: 'f32' | 'f16' = 'f32'): string {
  const { steps } = lower(prepare(graph, gpu, precision), gpu, { precision });
  expect(steps).toHaveLength(1);
  return steps[0]!.kernel.code;
}
const fours = (graph: Graph): boolean => codeOf(graph).includes('vec4<f32>');

describe('four elements to a thread', () => {
  it('where all operands lie by fours', () => {
    expect(fours(graphOf((x, y) => silu(x).mul(y)))).toBe(true);
    expect(fours(graphOf((x, y) => x.mul(y.slice(0, 8, 9)).sqrt()))).toBe(true);
    expect(fours(graphOf((x, y) => x.add(y.slice(1, 3, 4))))).toBe(true);
    const code = codeOf(graphOf((x, y) => x.sub(y)));
    // A quarter of the threads; and none of them has nothing to do.
    expect(code).not.toContain('return');
  });
  it('not where one does not, nor for few elements or many operations', () => {
    expect(fours(graphOf((x, y) => x.add(y.reshape([COLUMNS, ROWS]).transpose())))).toBe(false);
    expect(
      fours(
        graphOf((x, y) =>
          x
            .reshape([SIZE])
            .slice(0, 1, SIZE)
            .add(y.slice(0, 0, 1).slice(1, 0, 1).reshape([1])),
        ),
      ),
    ).toBe(false);
    expect(fours(graphOf((x, y) => concat([x, y], 1)))).toBe(false);
    expect(fours(graphOf((x, y) => x.slice(0, 0, 4).add(y.slice(0, 4, 8))))).toBe(false);
    const long = graphOf((x, y) => {
      let z = x;
      for (let i = 0; i < 120; i++) z = z.mul(y).add(i);
      return z;
    });
    expect(
      lower(prepare(long, gpu, 'f32'), gpu, { precision: 'f32' }).steps.every(
        ({ kernel }) => !kernel.code.includes('vec4'),
      ),
    ).toBe(true);
  });
  it('of what is kept in f16, too', () => {
    const graph = trace((t) => ({
      outputs: { z: t.weight('w', shape).mul(t.input('x', shape)) },
    }));
    const code = codeOf(graph, 'f16');
    for (const type of ['vec4<f16>', 'vec4<f32>']) expect(code).toContain(type);
  });
});

const numbers = (name: string, of: Shape): HostArray => draws(3).normal(name, 0, of);
const graph = trace((t) => {
  const [x, row, column, long] = [
    t.input('x', shape),
    t.input('row', [COLUMNS]),
    t.input('column', [ROWS, 1]),
    t.input('long', [SIZE + 8]),
  ];
  const w = t.weight('w', shape);
  const [s, u, rate] = [t.state('s', shape), t.state('u', shape), t.state('rate', [])];
  const less = x.less(row);
  return {
    outputs: {
      chain: silu(x.mul(row).add(column)).mul(w).add(rate),
      chosen: less.where(w, x.mul(column)),
      count: less.cast('i32').add(1),
      blocks: x
        .reshape([ROWS / 4, 4, COLUMNS])
        .add(w.reshape([ROWS / 4, 4, COLUMNS]).slice(1, 2, 3)),
      aligned: long.slice(0, 4, SIZE + 4).mul(2),
      shifted: long.slice(0, 3, SIZE + 3).mul(2),
    },
    updates: {
      s: s.mul(rate).add(x).add(s),
      // Every thread reads what another one writes.
      u: u.mul(rate).add(u.slice(0, 8, 9)),
      rate: rate.mul(0.5),
    },
  };
});
const inputs = {
  x: numbers('x', shape),
  row: numbers('row', [COLUMNS]),
  column: numbers('column', [ROWS, 1]),
  long: numbers('long', [SIZE + 8]),
};
const state = {
  s: numbers('s', shape),
  u: numbers('u', shape),
  rate: hostArray(Float32Array.of(0.75), []) as HostArray,
};
const w = numbers('w', shape);
const weights = new Map<string, Weight>([
  ['w', { dtype: 'f32', shape, read: () => new Uint8Array((w.data as Float32Array).buffer) }],
]);

it('is WGSL that Dawn accepts, for every kind of device', async () => {
  const device = await openWith(['backend=null']);
  for (const target of [smallest, gpu, lavapipe])
    for (const precision of ['f32', 'f16'] as const) {
      const { steps } = lower(prepare(graph, target, precision), target, { precision });
      const inFours = steps.filter(({ kernel }) => /vec4<(f32|f16|u32|i32)>/.test(kernel.code));
      expect(inFours.length).toBeGreaterThanOrEqual(6);
      for (const { kernel } of steps) {
        device.gpu.pushErrorScope('validation');
        device.gpu.createShaderModule({ code: kernel.code });
        expect((await device.gpu.popErrorScope())?.message, kernel.code).toBeUndefined();
      }
    }
  await closeDevice(device);
});

it.each(['f32', 'f16'] as const)('gives what the reference gives, in %s', async (precision) => {
  const tested = backends.find(({ backend }) => backend.name === 'webgpu')!;
  const [wanted, got] = await Promise.all(
    [reference, testedWebgpu({ precision })].map(async (backend) => {
      const executable = await backend.compile(graph, { state, weights });
      await executable.run(inputs);
      const results = await executable.run(inputs);
      const states = { s: await executable.read('s'), u: await executable.read('u') };
      await executable.dispose();
      return { ...results, ...states };
    }),
  );
  // f16 has eleven bits.
  const close =
    precision === 'f32' ? tested : { ...tested, relative: 2 ** -10, absolute: 2 ** -10 };
  for (const [name, value] of Object.entries(wanted!))
    expectClose(got![name as 's']!, value, close, name, 16);
});
