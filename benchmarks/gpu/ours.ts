/** @file Our side on a GPU: node gpu/ours.ts TASK. One training step of a U-Net on latents and text states that are ready, through the webgpu backend. */
import { performance } from 'node:perf_hooks';
import { architecture, expectedTensors, noiseSchedule } from '@sdft/models';
import { adamw } from '@sdft/optim';
import { traceStep } from '@sdft/pipeline';
import { type HostArray, hostArray, type Weight } from '@sdft/tensor';
import { webgpu } from '@sdft/tensor/node';
import { fullFineTune } from '../../packages/methods/src/full/fullFineTune.ts';
import { lora } from '../../packages/methods/src/lora/lora.ts';
import { LossScale } from '../../packages/pipeline/src/run/lossScale.ts';
import { hashed, weightOf } from './numbers.ts';
import type { GpuResult, GpuTask } from './task.ts';

const LR = 1e-5;
const TOKENS = 77;

async function measure(task: GpuTask): Promise<GpuResult> {
  const began = performance.now();
  const precision = task.precision === 'f16' ? 'f16' : 'f32';
  const configs = architecture(task.model);
  const unet = { ...configs.unet, sampleSize: task.latents };
  const method = task.method === 'full' ? fullFineTune() : lora({ rank: 4, alpha: 4 });
  const settings = {
    adapters: method.adapters,
    objective: method.objective,
    optimizer: adamw({ lr: LR }),
    ...{ accumulate: 1, clipSkip: 1, recompute: false, lossScaling: precision === 'f16' },
  };
  const weights = new Map<string, Weight>(
    [...expectedTensors({ ...configs, unet })]
      .filter(([name]) => name.startsWith('unet.'))
      .map(([name, shape]) => [
        name,
        {
          ...{ dtype: 'f32', shape },
          read: () => new Uint8Array(weightOf(name.slice('unet.'.length), shape).buffer),
        },
      ]),
  );
  const { graph, attached } = traceStep(
    { ...configs, unet, name: task.model, schedule: noiseSchedule(configs.schedule) },
    settings,
    { batch: task.batch, latents: task.latents, tokens: TOKENS },
  );
  const state = Object.fromEntries(
    attached.trainables.map(({ name, key, parameter, initial: { shape } }) => {
      const layer = key.slice('unet.'.length);
      const values = (): HostArray =>
        hostArray(
          task.method === 'full'
            ? weightOf(`${layer}.${parameter}`, shape)
            : loraStart(layer, parameter, shape),
          shape,
        ) as HostArray;
      return [`trainable ${name}`, values];
    }),
  );
  const backend = webgpu({ fast: true, precision });
  const executable = await backend.compile(graph, { weights, state });
  const inputs = inputsOf(task, unet.inChannels, unet.crossAttentionDim);
  const lossScale = precision === 'f16' ? new LossScale() : undefined;
  const rates = Object.fromEntries(
    attached.rates.map((_, i) => [`lr.${i}`, hostArray(Float32Array.of(LR), []) as HostArray]),
  );
  let done = 0;
  const step = async (): Promise<number> => {
    const numbers = Object.fromEntries(
      Object.entries(settings.optimizer.numbers).map(([name, schedule]) => [
        `number.${name}`,
        hostArray(Float32Array.of(schedule.at(done)), []) as HostArray,
      ]),
    );
    const { loss, gradNorm } = await executable.run({
      ...{ ...inputs, ...rates, ...numbers },
      ...(lossScale && {
        'loss.scale': hostArray(Float32Array.of(lossScale.scale), []) as HostArray,
      }),
    });
    if (Number.isFinite(gradNorm!.get())) {
      done++;
      lossScale?.success();
    } else lossScale?.overflow(done);
    return loss!.get();
  };
  const losses = [await step()];
  const firstStep = (performance.now() - began) / 1000;
  for (let i = 1; i < task.warmUp; i++) losses.push(await step());
  const seconds: number[] = [];
  for (let i = 0; i < task.steps; i++) {
    const from = performance.now();
    losses.push(await step());
    seconds.push((performance.now() - from) / 1000);
  }
  const { memory } = executable;
  await executable.dispose();
  return {
    ...{ task, firstStep, seconds, losses },
    device: 'webgpu, fast profile',
    versions: { node: process.version, dawn: '0.6.2' },
    memory: memory.total,
  };
}

/** As everywhere: the first factor random, the second zero. */
const loraStart = (layer: string, parameter: string, shape: readonly number[]) =>
  parameter === 'lora_up'
    ? new Float32Array(shape.reduce((product, length) => product * length, 1))
    : weightOf(`${layer}.down`, shape);

function inputsOf(task: GpuTask, channels: number, width: number): Record<string, HostArray> {
  const { batch, latents: side } = task;
  const random = (name: string, shape: number[]): HostArray =>
    hostArray(
      hashed(
        name,
        shape.reduce((product, length) => product * length, 1),
        Math.sqrt(3),
      ),
      shape,
    ) as HostArray;
  const timesteps = Int32Array.from({ length: batch }, (_, i) => (i * 379 + 101) % 1000);
  return {
    latents: random('latents', [batch, channels, side, side]),
    noise: random('noise', [batch, channels, side, side]),
    timesteps: hostArray(timesteps, [batch]) as HostArray,
    context: random('context', [batch, TOKENS, width]),
  };
}

const result = await measure(JSON.parse(process.argv[2]!) as GpuTask);
console.log(JSON.stringify(result));
process.exit(0);
