/** @file Where tensors lie: plans, without a device. */
import { describe, expect, it } from 'vitest';
import { prepare } from '../../src/backends/webgpu/backend.ts';
import { lower } from '../../src/backends/webgpu/lower.ts';
import { layOut, lifetimesOf } from '../../src/backends/webgpu/memory.ts';
import { tensorBytes } from '../../src/backends/webgpu/program.ts';
import { storageOf } from '../../src/backends/webgpu/storage.ts';
import { type Graph, sizeOf } from '../../src/graph/types.ts';
import { grad, squaredNorms, trace } from '../../src/index.ts';
import { unetLike } from '../cpu/support/unetLike.ts';
import { large as gpu } from './targets.ts';

const programOf = (graph: Graph) => lower(prepare(graph, gpu, 'f32'), gpu, { precision: 'f32' });

describe('tensors that are there at the same time', () => {
  it.for([0, 1, 2])('never share memory: network %i', (seed) => {
    const program = programOf(unetLike(seed));
    const { regions, arenas } = layOut(program, gpu);
    const lifetimes = lifetimesOf(program);
    const placed = program.tensors.flatMap((tensor, id) => {
      const region = regions[id];
      if (!region) return [];
      const whole = tensor.origin.kind === 'state' || tensor.origin.kind === 'weight';
      const life = whole ? { from: -1, to: program.steps.length } : lifetimes[id]!;
      return [{ ...region, ...life, bytes: tensorBytes(tensor) }];
    });
    expect(placed.length).toBeGreaterThan(100);
    let shared = 0;
    placed.forEach((a, i) => {
      expect(a.offset % gpu.alignment).toBe(0);
      expect(a.offset + a.bytes).toBeLessThanOrEqual(arenas[a.arena]!.bytes);
      for (const b of placed.slice(0, i)) {
        const overlap =
          a.arena === b.arena && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
        if (!overlap) continue;
        shared++;
        expect(a.to < b.from || b.to < a.from).toBe(true);
      }
    });
    // And most of them do share it with others.
    expect(shared).toBeGreaterThan(100);
  });
});

it('intermediates take what the largest two of a chain need', () => {
  const n = 1024;
  const graph = trace((t) => {
    let x = t.input('x', [n, n]);
    for (let i = 0; i < 10; i++) x = x.matmul(t.weight(`w${i}`, [n, n]));
    return { outputs: { y: x.sum() } };
  });
  const program = programOf(graph);
  const { arenas } = layOut(program, gpu);
  const working = arenas.find(({ kind }) => kind === 'working')!.bytes;
  const scratch = program.steps.some(({ kernel }) => kernel.name.includes('sum'));
  expect(working).toBeLessThan((scratch ? 12 : 2.1) * n * n * 4);
});

it('no arena is larger than a buffer may be, and what is too large itself is refused', () => {
  const graph = trace((t) => {
    const xs = [0, 1, 2, 3].map((i) => t.state(`s${i}`, [1000]));
    return { outputs: { y: xs.reduce((a, b) => a.add(b)) } };
  });
  const { arenas } = layOut(programOf(graph), { ...gpu, bufferBytes: 8192 });
  for (const { bytes } of arenas) expect(bytes).toBeLessThanOrEqual(8192);
  expect(arenas.filter(({ kind }) => kind === 'states')).toHaveLength(2);
  expect(() => layOut(programOf(graph), { ...gpu, bufferBytes: 2048 })).toThrow(
    /a tensor of 0\.004 MB is larger than this device lets a buffer be/,
  );
});

describe('with f16', () => {
  const graph = trace((t) => {
    const w = t.state('w', [64, 64]);
    const x = t.input('x', [32, 64]);
    const h = x.matmul(t.weight('frozen', [64, 64])).tanh();
    const y = h.matmul(w);
    const loss = y.square().mean();
    const [g] = grad(loss, [w]);
    return { outputs: { loss, y }, updates: { w: w.sub(g!.mul(0.1)) } };
  });
  const optimized = prepare(graph, { ...gpu, f16: true }, 'f16');
  const storage = storageOf(optimized, 'f16');
  const of = (find: (node: Graph['nodes'][number], id: number) => boolean) =>
    optimized.nodes.flatMap((node, id) => (find(node, id) ? [storage[id]] : []));

  it('frozen weights and intermediates are stored in half', () => {
    expect(of(({ op }) => op === 'weight')).toEqual(['f16']);
    expect(of(({ op }) => op === 'tanh')).toEqual(['f16']);
  });
  it('what is trained, its gradient and what goes out are not', () => {
    expect(of(({ op }) => op === 'input')).toEqual(['f32', 'f32']);
    const { outputs, updates } = optimized;
    for (const id of [...Object.values(outputs), ...Object.values(updates)])
      expect(storage[id]).toBe('f32');
    const gradient = optimized.nodes.flatMap((node, id) =>
      node.op === 'matmul' && node.attrs.transposeA ? [id] : [],
    );
    expect(gradient.length).toBe(1);
    expect(storage[gradient[0]!]).toBe('f32');
  });
  it('products read a copy of what is trained, in half', () => {
    const copies = of(
      (node, id) =>
        node.op === 'mul' &&
        node.inputs.some((i) => optimized.nodes[i]!.op === 'input') &&
        sizeOf(node.shape) === 4096 &&
        id > 0,
    );
    expect(copies).toContain('f16');
  });
  it('norms of however many tensors are not, as squares leave its range', () => {
    const many = trace((t) => {
      const ws = Array.from({ length: 300 }, (_, i) => t.state(`w${i}`, [32]));
      return { outputs: { norm: squaredNorms(ws).sum().sqrt() } };
    });
    const halved = { ...gpu, f16: true };
    const { tensors, steps } = lower(prepare(many, halved, 'f16'), halved, { precision: 'f16' });
    const { operands } = steps.find(({ kernel }) => kernel.name === 'squares of all')!;
    expect(tensors[operands[1]!.tensor]!.storage).toBe('f32');
  });
  it('small tensors stay as they are', () => {
    expect(of((node) => node.dtype === 'f32' && sizeOf(node.shape) < 256)).not.toContain('f16');
  });
});
