import { grad, nullBackend, type Tensor, trace, type Tracer } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { parseClipTextConfig, parseUNetConfig } from '../../src/checkpoint/configFile.ts';
import { clipContext } from '../../src/clip/clipText.ts';
import { type Patches, Scope } from '../../src/scope.ts';
import { unet } from '../../src/unet/unet.ts';
import {
  backends,
  configIn,
  evaluate,
  expectClose,
  type Given,
  given,
  json,
  numbersOf,
  open,
  own,
  weightsIn,
} from './harness.ts';

/** Scopes that note every parameter they hand out. */
function recording(tracer: Tracer): {
  scope: (root: string) => Scope;
  parameters: Map<string, Tensor>;
} {
  const parameters = new Map<string, Tensor>();
  const wrap: Patches['wrap'] = ({ path }, apply, frozen) => {
    const noted = (name: string): Tensor => {
      const tensor = frozen(name);
      parameters.set(`${path}.${name}`, tensor);
      return tensor;
    };
    return (x) => apply(x, noted);
  };
  return { scope: (root) => new Scope(tracer, root, { wrap }), parameters };
}

/** Gradients of `loss`: of the named tensors whole, of every parameter its norm. */
function gradients(
  loss: Tensor,
  parameters: ReadonlyMap<string, Tensor>,
  whole: Readonly<Record<string, Tensor>>,
): Record<string, Tensor> {
  const names = [...parameters.keys()].sort();
  const results = grad(loss, [
    ...names.map((name) => parameters.get(name)!),
    ...Object.values(whole),
  ]);
  return {
    ...Object.fromEntries(
      names.map((name, i) => [`norm.${name}`, results[i]!.square().sum().sqrt()]),
    ),
    ...Object.fromEntries(
      Object.keys(whole).map((name, i) => [`grad.${name}`, results[names.length + i]!]),
    ),
  };
}

/** The goldens' gradients were made in f32 and are up to 9e-6 (RMS) from what the interpreter gets in f64. */
const goldenBar = { rms: 2e-5, most: 1e-4 };

/** Norms differ by rounding; where the gradient is zero in exact arithmetic (a bias before a norm) both are noise, small against all gradients together. */
function expectNorms(
  actual: ReadonlyMap<string, number>,
  expected: ReadonlyMap<string, number>,
): void {
  const total = Math.hypot(...expected.values());
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, norm] of expected)
    expect(
      Math.abs(actual.get(name)! - norm),
      `norm of the gradient of ${name}, ${norm}`,
    ).toBeLessThanOrEqual(1e-5 * norm + 1e-7 * total);
}

describe.each(backends)('on $name', (backend) => {
  // Recomputing computes the rest as well: of software graphics drivers that is asked alone.
  test.each(backend.name === 'webgpu' ? [true] : [false, true])(
    'agree with PyTorch through the text encoder and the U-Net of SD1; recomputing: %s',
    async (recompute) => {
      const folder = 'fixtures/goldens/tiny-sd';
      const golden = open('fixtures/goldens/forward/tiny-sd.grad.safetensors');
      const weights = new Map([
        ...weightsIn(open(`${folder}/unet/diffusion_pytorch_model.safetensors`), 'unet'),
        ...weightsIn(open(`${folder}/text_encoder/model.safetensors`), 'text_encoder'),
      ]);
      const table = 'text_encoder.text_model.embeddings.token_embedding.weight';
      const named = [...golden.tensors.keys()].flatMap(
        (name) => /^grad\.((?:unet|text_encoder)\..*)$/.exec(name)?.slice(1) ?? [],
      );
      expect(named.length).toBe(11);
      const inputs = {
        ids: given(golden, 'input_ids'),
        x: given(golden, 'x'),
        t: given(golden, 't'),
        target: given(golden, 'target'),
      };
      const out = await evaluate(backend, weights, inputs, ({ ids, x, t, target }, tracer) => {
        const { scope, parameters } = recording(tracer);
        const options = { recompute };
        const text = parseClipTextConfig(json(`${folder}/text_encoder/config.json`), folder);
        const ctx = clipContext(scope('text_encoder'), text, ids, options);
        const config = parseUNetConfig(json(`${folder}/unet/config.json`), folder);
        const loss = unet(
          scope('unet'),
          config,
          { sample: x, timestep: t, encoderHiddenStates: ctx },
          options,
        )
          .sub(target)
          .square()
          .mean();
        const whole = {
          ...Object.fromEntries(named.map((name) => [name, parameters.get(name)!])),
          x,
          ctx,
          table: parameters.get(table)!,
        };
        const { ['grad.table']: ofTable, ...others } = gradients(loss, parameters, whole);
        return {
          loss,
          ...others,
          'grad.token_embedding.row320': ofTable!.slice(0, 320, 321),
          'grad.token_embedding.row49407': ofTable!.slice(0, 49407, 49408),
        };
      });
      expect(out['loss']![0]! / numbersOf(golden, 'loss')[0]!).toBeCloseTo(1, 6);
      const wanted = [...golden.tensors.keys()].filter((name) => name.startsWith('grad.'));
      expect(wanted.length).toBe(15);
      for (const name of wanted) expectClose(out[name], numbersOf(golden, name), name, goldenBar);
      const normsOf = (prefix: string, names: Iterable<string>, value: (name: string) => number) =>
        new Map(
          [...names]
            .filter((name) => name.startsWith(prefix))
            .map((name) => [name.slice(prefix.length), value(name)] as const),
        );
      expectNorms(
        normsOf('norm.', Object.keys(out), (name) => out[name]![0]!),
        normsOf('grad_norm.', golden.tensors.keys(), (name) => numbersOf(golden, name)[0]!),
      );
    },
  );

  const others = [
    ['sd2-unet', 'wide', false],
    ['sd2-unet', 'wide', true],
    ['uneven-unet', 'odd', false],
    ['uneven-unet', 'odd', true],
    ['upscaler-unet', 'odd', false],
    ['upscaler-unet', 'odd', true],
  ] as const;
  // Software graphics drivers compile for seconds.
  test.each(backend.name === 'webgpu' ? others.slice(2, 3) : others)(
    'agree with PyTorch on other configurations: %s, %s; recomputing: %s',
    async (file, name, recompute) => {
      const fixture = open(`fixtures/networks/${file}.safetensors`);
      const config = parseUNetConfig(configIn(fixture), file);
      const weights = weightsIn(fixture, 'unet', 'weight.');
      const named = [...fixture.tensors.keys()].flatMap(
        (key) => /^grad\.(.*\.(?:weight|bias))$/.exec(key)?.slice(1) ?? [],
      );
      const inputs = {
        sample: given(fixture, `in.${name}.sample`),
        timestep: given(fixture, `in.${name}.timestep`),
        context: given(fixture, `in.${name}.context`),
        direction: given(fixture, 'in.direction'),
        ...(config.numClassEmbeds !== undefined && {
          labels: given(fixture, `in.${name}.class_labels`),
        }),
      };
      type Name = keyof typeof inputs;
      const all = inputs as Record<Name, Given>;
      const out = await evaluate<Name>(backend, weights, all, (input, tracer) => {
        const { sample, timestep, context, direction } = input;
        const labels = config.numClassEmbeds === undefined ? undefined : input.labels;
        const { scope, parameters } = recording(tracer);
        const result = unet(
          scope('unet'),
          config,
          { sample, timestep, encoderHiddenStates: context, classLabels: labels },
          { recompute },
        );
        return gradients(result.mul(direction).mean(), parameters, {
          ...Object.fromEntries(named.map((key) => [key, parameters.get(`unet.${key}`)!])),
          sample,
          context,
        });
      });
      expect(named.length).toBeGreaterThan(1);
      for (const key of [...named, 'sample', 'context'])
        expectClose(
          out[`grad.${key}`],
          numbersOf(fixture, `grad.${key}`),
          `${file} ${key}`,
          own(backend),
        );
      const names = [...weights.keys()].sort();
      const norms = numbersOf(fixture, 'grad_norms');
      expectNorms(
        new Map(names.map((key) => [key, out[`norm.${key}`]![0]!])),
        new Map(names.map((key, i) => [key, norms[i]!])),
      );
    },
  );
});

test('recomputing keeps less than a third of the activations of SD1 at 512 pixels', async () => {
  const config = parseUNetConfig({ cross_attention_dim: 768 }, 'sd1');
  const activations = async (recompute: boolean) => {
    const graph = trace((tracer) => {
      const context = tracer.input('context', [1, 77, 768]);
      const inputs = {
        sample: tracer.input('sample', [1, 4, 64, 64]),
        timestep: tracer.input('timestep', [1], 'i32'),
        encoderHiddenStates: context,
      };
      const out = unet(new Scope(tracer, 'unet'), config, inputs, { recompute });
      return { outputs: { gradient: grad(out.square().mean(), [context])[0]! } };
    });
    const executable = await nullBackend.compile(graph);
    return executable.memory.activations;
  };
  expect(await activations(true)).toBeLessThan((await activations(false)) / 3);
});
