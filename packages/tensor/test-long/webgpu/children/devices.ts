/** @file node devices.ts COUNT null|driver: opens a device, computes on it and closes it, over and over; prints what is left as JSON (type Cycles). */
import { getHeapStatistics } from 'node:v8';
import { webgpuOn } from '../../../src/backends/webgpu/backend.ts';
import { hostArray, type HostArray, trace } from '../../../src/index.ts';
import { findAdapter, nullAdapter, openDevice } from '../../../src/node/webgpu/adapter.ts';

export interface Cycles {
  readonly device: string;
  /** After each cycle, of the process but for JavaScript's heap, which grows while V8 compiles what runs often. */
  readonly kilobytes: readonly number[];
  /** Devices before the last one that the collector has not freed. */
  readonly alive: number;
}

const x = hostArray(new Float32Array(4096).fill(1), [64, 64]) as HostArray;
const graph = trace((t) => {
  const s = t.state('s', [64, 64]);
  return { outputs: { sum: s.sum() }, updates: { s: s.add(t.input('x', [64, 64])) } };
});

const [count, driver] = [Number(process.argv[2]), process.argv[3]];
const find = async () =>
  driver === 'null'
    ? { adapter: await nullAdapter(), name: 'the null adapter', software: true }
    : (await findAdapter('any'))!;

const kilobytes = new Float64Array(count);
const devices: WeakRef<object>[] = [];
let name = '';
for (let cycle = 0; cycle < count; cycle++) {
  const device = await openDevice(await find());
  const executable = await webgpuOn(async () => device).compile(graph);
  await executable.run({ x });
  const { sum } = await executable.run({ x });
  if (driver !== 'null' && sum!.data[0] !== 4096) throw new Error(`the sum is ${sum!.data[0]}`);
  await executable.dispose();
  await device.close();
  ({ name } = device);
  devices.push(new WeakRef(device));
  kilobytes[cycle] = (process.memoryUsage().rss - getHeapStatistics().total_physical_size) / 1024;
}
const alive = devices.slice(0, -1).filter((device) => device.deref() !== undefined).length;
const cycles: Cycles = { device: name, kilobytes: [...kilobytes], alive };
console.log(JSON.stringify(cycles));
process.exit(0);
