/**
 * @file How fast the WebGPU backend's heavy kernels are on the device at hand, in every form that the planner may pick; each is held against the plain form first.
 * node --conditions=@sdft/source benchmarks/webgpu-kernels.ts [--seconds 55] [--only matmul] [--out FILE] [--peak GFLOPS] [--strict]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import type { Plan } from '../packages/tensor/src/backends/webgpu/kernel.ts';
import { type Device, openWith } from '../packages/tensor/test/webgpu/device.ts';
import { Bench } from './kernels/bench.ts';
import { jobs } from './kernels/jobs.ts';

const { values } = parseArgs({
  options: {
    /** When no new job begins. */
    seconds: { type: 'string', default: '55' },
    /** Part of the names of the jobs to run. */
    only: { type: 'string', default: '' },
    out: { type: 'string' },
    /** GFLOP/s that the processor reaches otherwise, of which the results give their share: what a good library does of a product of f32, measured beside. */
    peak: { type: 'string' },
    /** With the checks that Dawn makes by default. */
    strict: { type: 'boolean', default: false },
  },
});

export interface Result {
  readonly job: string;
  readonly form: string;
  readonly picked: boolean;
  readonly kernels: readonly string[];
  readonly milliseconds?: number;
  readonly gflops?: number;
  /** Of `--peak`. */
  readonly share?: number;
  /** ||result - plain|| / ||plain|| */
  readonly error?: number;
  readonly failure?: string;
}

const fast = [
  'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia,disable_robustness,disable_workgroup_init,disable_polyfills_on_integer_div_and_mod,vulkan_use_cooperative_matrix_robust_access',
  'disable-dawn-features=timestamp_quantization,lazy_clear_resource_on_first_use',
];
const start = performance.now();
const device: Device = await openWith(
  values.strict ? ['disable-dawn-features=timestamp_quantization'] : fast,
);
const { target } = device;
console.log(`${device.name}: ${JSON.stringify(target)}`);
const results: Result[] = [];
const path = values.out ?? `benchmarks/results/${target.kind}-kernels.json`;
mkdirSync(dirname(path), { recursive: true });
const write = () =>
  writeFileSync(
    path,
    `${JSON.stringify({ device: device.name, target, date: new Date().toISOString(), strict: values.strict, ...(values.peak !== undefined && { peak: Number(values.peak) }), results }, null, 1)}\n`,
  );

const bench = new Bench(device);
const flops = (plan: Plan) => plan.steps.reduce((sum, { kernel }) => sum + kernel.flops, 0);
const left = () => Number(values.seconds) - (performance.now() - start) / 1000;
for (const job of jobs(target)) {
  if (!job.name.includes(values.only)) continue;
  if (left() < 0) {
    console.log(`${job.name}: no time left`);
    continue;
  }
  try {
    console.log(`${job.name} (${left().toFixed(1)} s left)`);
    const plain = await bench.reference(job);
    const variants = await bench.compile(job);
    for (const { form, picked, plan, pipelines, failure } of variants) {
      const kernels = plan?.steps.map((s) => s.kernel.name) ?? [];
      const row = { job: job.name, form, picked, kernels };
      try {
        if (failure !== undefined || !plan || !pipelines) throw new Error(failure);
        const error = await bench.check(job, plan, pipelines, plain);
        const milliseconds = await bench.time(job, plan, pipelines);
        const gflops = flops(plan) / milliseconds / 1e6;
        const share = values.peak === undefined ? {} : { share: gflops / Number(values.peak) };
        results.push({ ...row, milliseconds, gflops, ...share, error });
        console.log(
          `  ${form.padEnd(34)} ${gflops.toFixed(gflops < 100 ? 1 : 0).padStart(8)} GFLOP/s ${milliseconds.toFixed(3).padStart(9)} ms  error ${error.toExponential(1)}${picked ? '  <- picked' : ''}`,
        );
      } catch (problem) {
        const failure = String(problem).slice(0, 600);
        results.push({ ...row, failure });
        console.log(`  ${form.padEnd(34)} ${failure}`);
      }
    }
  } catch (problem) {
    results.push({
      job: job.name,
      form: '',
      picked: false,
      kernels: [],
      failure: String(problem).slice(0, 600),
    });
    console.log(`  ${String(problem)}`);
  }
  write();
}
console.log(`${path}, ${((performance.now() - start) / 1000).toFixed(1)} s`);
process.exit(0);
