/** @file Runs of diffusers' DreamBooth LoRA script and of kohya's network, repeated. */
import { join } from 'node:path';
import { openSafetensors } from '@sdft/models/node';
import { describe, expect, test } from 'vitest';
import { webgpu } from '@sdft/tensor/node';
import { adamw, type Backend, cpu, lora, pipeline, reference } from '../../src/index.ts';
import { goldens, json, reports, temporaryFolder, using } from '../support/fixtures.ts';
import { errorOfUpdate, tensorsIn } from './files.ts';

const folder = temporaryFolder();
const onCpu: readonly [string, () => Backend] = ['cpu', () => cpu()];
const elsewhere: readonly (typeof onCpu)[] = [
  ['reference', () => reference],
  ['webgpu', () => webgpu()],
];
const stem = pipeline()
  .model(goldens('tiny-sd'))
  .optimizer(adamw({ lr: 2e-3, weightDecay: 0.01 }))
  .clip(1)
  .seed(1);
const cases = [
  {
    name: 'lora',
    initial: 'init.safetensors',
    run: stem.method(lora({ rank: 8 })),
  },
  {
    name: 'kohya_lora',
    initial: 'initial.safetensors',
    run: stem.with({ clipSkip: 2 }).method(
      lora({
        ...{ flavour: 'kohya', rank: 4, alpha: 2, trainTextEncoder: true, textEncoderLr: 1e-3 },
      }),
    ),
  },
] as const;

interface MicroStep {
  readonly loss: number;
  readonly grad_norm_before_clip: number;
}
interface Noise {
  readonly suggested_tolerance: {
    readonly relative_error_of_update: number;
    readonly loss_abs: number;
  };
  readonly ill_conditioned: readonly string[];
}

describe.for(cases)('$name', ({ name, initial, run }) => {
  const at = (file: string): string => goldens(`train/${name}/${file}`);
  const { micro_steps: expected } = json<{ micro_steps: readonly MicroStep[] }>(at('loss.json'));
  const { suggested_tolerance: tolerance, ill_conditioned: ill } = json<Noise>(at('noise.json'));

  // The interpreter and software graphics drivers take their time; reference.test.ts has runs of kohya's network.
  const told = name === 'lora' ? [onCpu, ...elsewhere] : [onCpu];
  test.for(told)('on %s: every loss and norm, and the file', async ([backend, make]) => {
    const path = join(folder, `${backend}-${name}.safetensors`);
    await using(
      run.initFrom(at(initial)).build({ replay: at('replay.safetensors'), backend: make() }),
      async (built) => {
        const steps = await reports(built);
        expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5]);
        steps.forEach(({ loss, gradNorm }, k) => {
          expect(Math.abs(loss - expected[k]!.loss)).toBeLessThanOrEqual(tolerance.loss_abs);
          // Their norms are sums in float32: a few units of the seventh digit.
          expect(Math.abs(gradNorm / expected[k]!.grad_norm_before_clip - 1)).toBeLessThan(5e-6);
        });
        await built.save(path);
      },
    );
    const [ours, theirs, from] = await Promise.all(
      [path, at('result.safetensors'), at(initial)].map(tensorsIn),
    );
    expect([...ours!.keys()].sort()).toEqual([...theirs!.keys()].sort());
    const written = openSafetensors(path).tensors;
    for (const [key, { shape }] of openSafetensors(at('result.safetensors')).tensors)
      expect(written.get(key)!.shape).toEqual(shape);
    expect(errorOfUpdate(ours!, theirs!, from!, ill)).toBeLessThanOrEqual(
      tolerance.relative_error_of_update,
    );
    for (const key of ill)
      expect(Math.hypot(...ours!.get(key)!)).toBeCloseTo(Math.hypot(...theirs!.get(key)!), 4);
  });
});
