/** @file What goes wrong on a device, and what people are told. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { webgpuOn } from '../../src/backends/webgpu/backend.ts';
import type { Device } from '../../src/backends/webgpu/device.ts';
import { hostArray, type HostArray, trace, UserError, type Weight } from '../../src/index.ts';
import { findAdapter, openDevice } from '../../src/node/webgpu/adapter.ts';
import { testedWebgpu } from '../support/webgpu.ts';

const f32 = (values: readonly number[]): HostArray =>
  hostArray(Float32Array.from(values), [values.length]) as HostArray;
const counter = trace((t) => {
  const s = t.state('s', [4]);
  return { outputs: { s }, updates: { s: s.add(t.input('x', [4])) } };
});
const x = f32([1, 1, 1, 1]);

describe('a budget', () => {
  const graph = trace((t) => {
    const h = t.input('x', [256, 256]).matmul(t.weight('w', [256, 256]));
    return { outputs: { y: h.sum() } };
  });
  const weight: Weight = {
    dtype: 'f32',
    shape: [256, 256],
    read: () => new Uint8Array(256 * 256 * 4),
  };
  const weights = new Map([['w', weight]]);

  it('that is too small is answered before anything is read, with the sizes', async () => {
    const unread = { ...weight, read: () => expect.fail('read') };
    const compiled = testedWebgpu({ bytes: 300_000 }).compile(graph, {
      weights: new Map([['w', unread]]),
    });
    await expect(compiled).rejects.toThrow(UserError);
    await expect(compiled).rejects.toThrow(
      /needs 0\.\d+ MB on .*, and 0\.300 MB are allowed: weights 0\.262 MB, states 0\.000 MB, intermediates 0\.\d+ MB \(the largest 0\.26\d MB\)/,
    );
  });
  it('that suffices is kept to', async () => {
    const executable = await testedWebgpu({ bytes: 1_000_000 }).compile(graph, { weights });
    const { memory } = executable;
    expect(memory.weights).toBe(256 * 256 * 4);
    expect(memory.state).toBe(0);
    expect(memory.total).toBe(memory.weights + memory.activations);
    await executable.dispose();
  });
});

describe('a device', () => {
  let device: Device;
  afterEach(async () => {
    if (!device.lost) await device.close();
  });
  const open = async (): Promise<Device> => {
    testedWebgpu();
    device = await openDevice((await findAdapter('any'))!);
    return device;
  };

  it('that is lost fails what waits for it and all that comes after', async () => {
    const backend = webgpuOn(open);
    const executable = await backend.compile(counter);
    await executable.run({ x });
    device.gpu.destroy();
    await device.gpu.lost;
    await expect(executable.run({ x })).rejects.toThrow(UserError);
    await expect(executable.run({ x })).rejects.toThrow(/was lost .*--resume/);
    await expect(executable.read('s')).rejects.toThrow(/was lost/);
    await executable.dispose();
  });

  it('that refuses a command says so at the next call, not never', async () => {
    const executable = await webgpuOn(open).compile(counter);
    const [buffer] = await device.allocate([16], 8);
    // Nothing may be written behind the end of a buffer; nobody waits for this error.
    device.gpu.queue.writeBuffer(buffer!, 8, new Float32Array(16));
    await device.gpu.queue.onSubmittedWorkDone();
    await expect(executable.run({ x })).rejects.toThrow(/^internal: WebGPU: /);
    // Once told, it goes on.
    expect((await executable.run({ x })).s!.data).toEqual(Float32Array.of(0, 0, 0, 0));
    await executable.dispose();
  });

  it('that is full says what a graph would have taken', async () => {
    await open();
    const full = { message: 'VK_ERROR_OUT_OF_DEVICE_MEMORY' } as GPUError;
    vi.spyOn(device.gpu, 'popErrorScope').mockResolvedValueOnce(null).mockResolvedValueOnce(full);
    await expect(webgpuOn(() => Promise.resolve(device)).compile(counter)).rejects.toThrow(
      /has no room for 0\.\d+ MB more of 0\.\d+ MB for this graph: weights 0\.000 MB, states 0\.000 MB, .* \(VK_ERROR/,
    );
  });

  it('whose kernel is no WGSL shows the place', async () => {
    await open();
    const kernel = { name: 'nonsense', operands: [], code: 'fn main() { let x = ; }' };
    await expect(device.pipeline(kernel)).rejects.toThrow(
      /^internal: the kernel nonsense is refused: 1:\d+/,
    );
  });
});

describe('calls that overlap', () => {
  it('are answered in their order, each with its own inputs and what was written before it', async () => {
    const executable = await testedWebgpu().compile(counter);
    const calls = Array.from({ length: 12 }, (_, i) => executable.run({ x: f32([i, 0, 0, 0]) }));
    const written = executable.write('s', f32([100, 0, 0, 0]));
    const after = executable.run({ x });
    const results = await Promise.all(calls);
    let sum = 0;
    results.forEach(({ s }, i) => {
      expect(s!.data[0]).toBe(sum);
      sum += i;
    });
    await written;
    expect((await after).s!.data[0]).toBe(100);
    const last = executable.read('s');
    const disposed = executable.dispose();
    expect((await last).data[0]).toBe(101);
    await disposed;
    await expect(executable.run({ x })).rejects.toThrow('this graph was disposed of');
    await expect(executable.read('s')).rejects.toThrow('this graph was disposed of');
    await executable.dispose();
  });
});
