/** @file node gpu/run.ts [--python PATH] [--ours FILE] [--out FILE] [--json TASKS]: the same steps on the same GPU, ours and PyTorch's, in turns; medians and ratios to results/gpu-DEVICE.json. */
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { GpuResult, GpuTask } from './task.ts';

const { values } = parseArgs({
  options: {
    python: { type: 'string', default: 'python3' },
    ours: { type: 'string', default: fileURLToPath(new URL('./ours.ts', import.meta.url)) },
    theirs: { type: 'string', default: fileURLToPath(new URL('./theirs.py', import.meta.url)) },
    out: {
      type: 'string',
      default: fileURLToPath(new URL('../results/gpu.json', import.meta.url)),
    },
    /** `MODEL METHOD BATCH LATENTS`, several of them with commas between. */
    tasks: { type: 'string', default: 'sd15 full 8 64,sd15 lora 1 64' },
    precisions: { type: 'string', default: 'f32,tf32,bf16,f16' },
    steps: { type: 'string', default: '10' },
    /** Seconds after which no further process is started. */
    limit: { type: 'string', default: '600' },
  },
});

const OURS = ['f32', 'f16'];
const began = Date.now();
const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!;

function measured(side: 'ours' | 'theirs', task: GpuTask): GpuResult | { readonly failed: string } {
  const json = JSON.stringify(task);
  const [command, args] =
    side === 'ours'
      ? [process.execPath, ['--conditions=@sdft/source', values.ours, json]]
      : [values.python, [values.theirs, json]];
  const left = Number(values.limit) * 1000 - (Date.now() - began);
  if (left < 5000) return { failed: 'no time left' };
  const { stdout, stderr, status, signal } = spawnSync(command, args, {
    ...{ encoding: 'utf8', timeout: left, maxBuffer: 2 ** 26 },
  });
  const line = stdout?.trim().split('\n').at(-1) ?? '';
  return line.startsWith('{')
    ? (JSON.parse(line) as GpuResult)
    : { failed: `${status ?? signal}: ${stderr?.slice(-1500)}` };
}

const results: unknown[] = [];
for (const text of values.tasks.split(',')) {
  const [model, method, batch, latents] = text.trim().split(' ');
  const found: Record<string, GpuResult | { readonly failed: string }> = {};
  for (const precision of values.precisions.split(','))
    for (const side of ['ours', 'theirs'] as const) {
      if (side === 'ours' && !OURS.includes(precision)) continue;
      const task = {
        ...{ model, method, batch: Number(batch), latents: Number(latents), precision },
        ...{ warmUp: 3, steps: Number(values.steps) },
      } as GpuTask;
      const result = measured(side, task);
      found[`${side} ${precision}`] = result;
      const said =
        'failed' in result
          ? `FAILED ${result.failed}`
          : `${median(result.seconds).toFixed(4)} s a step, ${(task.batch / median(result.seconds)).toFixed(1)} pictures a second, ${(result.memory / 1e9).toFixed(2)} GB, first step ${result.firstStep.toFixed(1)} s, losses ${result.losses
              .slice(0, 4)
              .map((loss) => loss.toFixed(5))
              .join(' ')}`;
      console.log(`${text}: ${side} ${precision}: ${said}`);
    }
  results.push({ task: text, ...found });
  writeFileSync(
    values.out,
    `${JSON.stringify({ gpu: gpuName(), date: new Date().toISOString().slice(0, 10), results }, null, 1)}\n`,
  );
}

function gpuName(): string {
  try {
    return execFileSync(
      'nvidia-smi',
      ['--query-gpu=name,driver_version', '--format=csv,noheader'],
      { encoding: 'utf8' },
    ).trim();
  } catch {
    return 'unknown';
  }
}
