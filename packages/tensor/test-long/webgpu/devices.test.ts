/** @file Devices that are opened and closed again and again leave nothing behind. */
import { expect, test } from 'vitest';
import { found, repetitions } from '../../../../vitest.long.ts';
import { webgpuOn } from '../../src/backends/webgpu/backend.ts';
import { hostArray, type HostArray, trace } from '../../src/index.ts';
import { findAdapter, nullAdapter, openDevice } from '../../src/node/webgpu/adapter.ts';
import { testedWebgpu } from '../../test/support/webgpu.ts';

const x = hostArray(new Float32Array(4096).fill(1), [64, 64]) as HostArray;
const graph = trace((t) => {
  const s = t.state('s', [64, 64]);
  return { outputs: { sum: s.sum() }, updates: { s: s.add(t.input('x', [64, 64])) } };
});

type Found = NonNullable<Awaited<ReturnType<typeof findAdapter>>>;

/** Megabytes by which the process grew, after the first fifth. */
async function growth(cycles: number, find: () => Promise<Found>, sum?: number): Promise<number> {
  const sizes: number[] = [];
  for (let cycle = 0; cycle < cycles; cycle++) {
    const device = await openDevice(await find());
    const executable = await webgpuOn(async () => device).compile(graph);
    await executable.run({ x });
    const result = await executable.run({ x });
    if (sum !== undefined) expect(result.sum!.data[0]).toBe(sum);
    await executable.dispose();
    await device.close();
    sizes.push(process.memoryUsage().rss / 1e6);
  }
  return sizes.at(-1)! - sizes[Math.floor(cycles / 5)]!;
}

test('a device that is opened and closed leaves no memory behind', async ({ task }) => {
  testedWebgpu();
  const cycles = repetitions(200, 20);
  // Without a driver all of the memory is ours and Dawn's.
  const own = await growth(cycles, async () => ({
    ...{ adapter: await nullAdapter(), name: 'null', software: true },
  }));
  const driven = await growth(cycles, async () => (await findAdapter('any'))!, 4096);
  found(
    task,
    0,
    `${cycles} devices; grew by ${own.toFixed(0)} MB after the first fifth without a driver, by ${driven.toFixed(0)} MB with one`,
  );
  // JavaScript's heap breathes by some megabytes.
  expect(own).toBeLessThan(40);
  // SwiftShader keeps caches of its own: 102 MB within the first 20 devices, 151 MB more between the 20th and the 160th. An instance of Dawn for each device took 5 MB a cycle on top of that.
  expect(driven).toBeLessThan(150 + 2 * cycles);
});
