/** @file Codes in states: four to a word of the device's memory. */
import { describe, expect, test } from 'vitest';
import { webgpuOn } from '../../src/backends/webgpu/backend.ts';
import { Device } from '../../src/backends/webgpu/device.ts';
import { concat, hostArray, type HostArray, reference, trace } from '../../src/index.ts';
import { closeDevice, openDevice } from './device.ts';

/** The last word is not full. */
const SIZE = 1001;
const first = hostArray(
  Uint8Array.from({ length: SIZE }, (_, i) => (i * 37) % 256),
  [SIZE],
) as HostArray;

const graph = trace((t) => {
  const [codes, others] = [t.state('codes', [SIZE], 'u8'), t.state('others', [SIZE], 'u8')];
  const turned = concat([codes.slice(0, 500, SIZE), codes.slice(0, 0, 500)], 0);
  return {
    outputs: { codes, numbers: codes.cast('i32').cast('f32').mul(0.5) },
    updates: {
      // In place, and from elsewhere in what it replaces.
      others: others.cast('i32').add(codes.cast('i32')).cast('u8'),
      codes: turned.cast('i32').add(1).cast('u8'),
    },
  };
});

describe.each([
  ['one binding', 2 ** 27],
  ['several bindings', 512],
])('through %s', (_, bindingBytes) => {
  test('every code is its own, though four share a word', async () => {
    const device = await openDevice();
    const backend = webgpuOn(
      async () => new Device(device.gpu, { ...device.target, bindingBytes }, device.name),
    );
    const state = { codes: first, others: first };
    const ours = await backend.compile(graph, { state });
    const expected = await reference.compile(graph, { state });
    for (let step = 0; step < 3; step++) {
      const [found, wanted] = [await ours.run(), await expected.run()];
      for (const name of ['codes', 'numbers'])
        expect(found[name]!.data).toEqual(wanted[name]!.data);
    }
    for (const name of ['codes', 'others'])
      expect((await ours.read(name)).data).toEqual((await expected.read(name)).data);
    // Two states of 1001 bytes, each at an address that the device can bind.
    expect(ours.memory.state).toBeLessThanOrEqual(2 * (SIZE + device.target.alignment));
    await ours.dispose();
    await closeDevice(device);
  });
});
