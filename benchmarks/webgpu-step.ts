/**
 * @file Where the seconds of a training step go on a WebGPU device, kernel by kernel; what making pipelines takes, and what the driver compiles at first dispatches, apart.
 * node --conditions=@sdft/source benchmarks/webgpu-step.ts [--model sd15] [--method lora] [--size 256] [--batch 1] [--precision f32] [--rows 30] [--by name|kind|layer] [--strict] [--out FILE]
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { adamw, presets } from '@sdft/methods';
import { architecture, noiseSchedule } from '@sdft/models';
import { traceStep } from '@sdft/pipeline';
import { memoryOf, prepare, programOf } from '../packages/tensor/src/backends/webgpu/backend.ts';
import { layOut } from '../packages/tensor/src/backends/webgpu/memory.ts';
import { kindOf } from '../packages/tensor/src/backends/webgpu/peak.ts';
import type { ProgramStep } from '../packages/tensor/src/backends/webgpu/program.ts';
import { openWith } from '../packages/tensor/test/webgpu/device.ts';
import { ProgramRun } from './kernels/program.ts';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'sd15' },
    method: { type: 'string', default: 'lora' },
    /** Pixels of a side. */
    size: { type: 'string', default: '256' },
    batch: { type: 'string', default: '1' },
    precision: { type: 'string', default: 'f32' },
    /** Printed, the slowest first. */
    rows: { type: 'string', default: '30' },
    by: { type: 'string', default: 'name' },
    /** With the checks that Dawn makes by default. */
    strict: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});

const precision = values.precision === 'f16' ? 'f16' : 'f32';
const configs = architecture(values.model);
const { adapters, objective } = presets[values.method]!.assemble({});
const { graph } = traceStep(
  { ...configs, name: values.model, schedule: noiseSchedule(configs.schedule) },
  {
    ...{ adapters, objective, optimizer: adamw({ lr: 1e-5 }), accumulate: 1, clipSkip: 1 },
    ...{ recompute: false, lossScaling: precision === 'f16' },
  },
  {
    batch: Number(values.batch),
    latents: Number(values.size) / 2 ** (configs.vae.blockOutChannels.length - 1),
    tokens: configs.textEncoder.maxPositionEmbeddings,
  },
);
const device = await openWith([
  ...(values.strict ? [] : ['enable-dawn-features=skip_validation,disable_robustness']),
  'disable-dawn-features=timestamp_quantization',
]);
const { target } = device;
const seconds = (since: number): number => (performance.now() - since) / 1000;
const began = performance.now();
const program = programOf(prepare(graph, target, precision), target, { precision });
const layout = layOut(program, target);
console.log(
  `${device.name}: ${program.steps.length} dispatches, ${(memoryOf(layout).total / 1e9).toFixed(2)} GB, planned in ${seconds(began).toFixed(1)} s`,
);
const run = new ProgramRun(device, program, layout);
console.log(`pipelines: ${(await run.compile()).toFixed(1)} s`);
await run.fill();
const tell = (round: string) => (name: string, took: number) =>
  console.log(`  ${round}: ${name} ${took.toFixed(1)} s`);
const first = await run.run(tell('first'));
const again = await run.run(tell('again'));

interface Row {
  readonly name: string;
  dispatches: number;
  readonly codes: Set<string>;
  /** More in the first round than in the second: what the driver compiles. */
  compiling: number;
  seconds: number;
  flops: number;
  bytes: number;
}
const nameOf = ({ kernel, path }: ProgramStep): string =>
  values.by === 'kind' ? kindOf(kernel.name) : values.by === 'layer' ? path : kernel.name;
const rows = new Map<string, Row>();
program.steps.forEach((step, i) => {
  const name = nameOf(step);
  const row = rows.get(name) ?? {
    ...{ name, dispatches: 0, codes: new Set(), compiling: 0, seconds: 0, flops: 0, bytes: 0 },
  };
  rows.set(name, row);
  row.dispatches++;
  if (!row.codes.has(step.kernel.code)) row.compiling += Math.max(0, first[i]! - again[i]!);
  row.codes.add(step.kernel.code);
  row.seconds += again[i]!;
  row.flops += step.kernel.flops;
  row.bytes += step.kernel.bytes;
});
const sorted = [...rows.values()].sort((a, b) => b.seconds - a.seconds);
const total = (of: (row: Row) => number): number => sorted.reduce((sum, row) => sum + of(row), 0);
const line = (cells: readonly (string | number)[]): string =>
  `${String(cells[0]).slice(0, 60).padEnd(60)} ${cells
    .slice(1)
    .map((cell) => String(cell).padStart(10))
    .join(' ')}`;
console.log(
  line([values.by, 'dispatches', 'codes', 'compiling', 'seconds', 'GFLOP', 'GFLOP/s', 'GB/s']),
);
const all: Row = {
  ...{ name: 'all', dispatches: program.steps.length },
  codes: new Set(program.steps.map(({ kernel }) => kernel.code)),
  ...{ compiling: total((r) => r.compiling), seconds: total((r) => r.seconds) },
  ...{ flops: total((r) => r.flops), bytes: total((r) => r.bytes) },
};
for (const row of [all, ...sorted.slice(0, Number(values.rows))])
  console.log(
    line([
      ...[row.name, row.dispatches, row.codes.size],
      ...[row.compiling.toFixed(2), row.seconds.toFixed(3), (row.flops / 1e9).toFixed(1)],
      ...[(row.flops / row.seconds / 1e9).toFixed(1), (row.bytes / row.seconds / 1e9).toFixed(1)],
    ]),
  );
if (values.out !== undefined)
  writeFileSync(
    values.out,
    `${JSON.stringify({ device: device.name, date: new Date().toISOString(), options: values, rows: [all, ...sorted].map((row) => ({ ...row, codes: row.codes.size })) }, null, 1)}\n`,
  );
process.exit(0);
