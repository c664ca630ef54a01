import { trace, UserError } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { parseClipTextConfig } from '../../src/checkpoint/configFile.ts';
import { clipContext, clipText, encodePromptChunks } from '../../src/clip/clipText.ts';
import { Scope } from '../../src/scope.ts';
import {
  backends,
  configIn,
  evaluate,
  expectClose,
  f32Bar,
  given,
  json,
  numbersOf,
  open,
  own,
  weightsIn,
} from './harness.ts';

const goldens = 'fixtures/goldens';
const tiny = parseClipTextConfig(json(`${goldens}/tiny-sd/text_encoder/config.json`), 'tiny-sd');
const ours = (name: string) => {
  const results = open(`fixtures/networks/${name}.safetensors`);
  return {
    name,
    config: parseClipTextConfig(configIn(results), name),
    weights: weightsIn(results, 'text_encoder', 'weight.'),
    results,
    inputs: 'in.',
    outputs: 'out.',
    pooled: 'pooled',
    bar: own,
  };
};
const networks = [
  {
    name: 'tiny-sd',
    config: tiny,
    weights: weightsIn(open(`${goldens}/tiny-sd/text_encoder/model.safetensors`), 'text_encoder'),
    results: open(`${goldens}/forward/tiny-sd.text_encoder.safetensors`),
    inputs: '',
    outputs: '',
    pooled: 'pooler_output',
    bar: () => f32Bar,
  },
  ours('gelu-text'),
  ours('legacy-text'),
];

describe.each(backends)('on $name', (backend) => {
  test.each(networks)('agrees with transformers: $name', async (network) => {
    const { name, config, weights, results, inputs, outputs, pooled, bar } = network;
    const ids = given(results, `${inputs}input_ids`);
    const out = await evaluate(backend, weights, { ids }, (input, tracer) => {
      const scope = new Scope(tracer, 'text_encoder');
      const whole = clipText(scope, config, input.ids);
      return {
        ...Object.fromEntries(whole.hiddenStates.map((h, i) => [`hidden_states.${i}`, h])),
        last_hidden_state: whole.lastHiddenState,
        [pooled]: whole.pooled,
        clip_skip_2: clipContext(scope, config, input.ids, { clipSkip: 2 }),
      };
    });
    expect(Object.keys(out).length).toBe(config.numHiddenLayers + 4);
    for (const key of Object.keys(out))
      expectClose(out[key], numbersOf(results, outputs + key), `${name} ${key}`, bar(backend));
  });

  test.each(networks.slice(1))('joins chunks as A1111 does: $name', async (network) => {
    const { name, config, weights, results } = network;
    const ids = given(results, 'in.input_ids');
    const [rows, length] = ids.shape as [number, number];
    const chunks = { ...ids, shape: [rows / 2, 2, length] };
    const { out } = await evaluate(backend, weights, { chunks }, (input, tracer) => ({
      out: encodePromptChunks(new Scope(tracer, 'text_encoder'), config, input.chunks),
    }));
    expectClose(out, numbersOf(results, 'out.chunks'), name, own(backend));
  });

  test('pools the first token where a sequence has no end token, as transformers does', async () => {
    const { config, weights, results } = networks[1]!;
    const ids = given(results, 'in.input_ids');
    const endless = { ...ids, data: ids.data.map((id) => (id === config.eosTokenId ? 7 : id)) };
    const { pooled, last } = await evaluate(backend, weights, { endless }, (input, tracer) => {
      const out = clipText(new Scope(tracer, 'text_encoder'), config, input.endless);
      return { pooled: out.pooled, last: out.lastHiddenState };
    });
    const firsts = Array.from({ length: ids.shape[0]! }, (_, row) => {
      const start = row * ids.shape[1]! * config.hiddenSize;
      return [...last!.slice(start, start + config.hiddenSize)];
    });
    expect([...pooled!]).toEqual(firsts.flat());
  });
});

const weightsRead = (clipSkip: number): string[] => {
  const graph = trace((tracer) => ({
    outputs: {
      out: clipContext(
        new Scope(tracer, 'text_encoder'),
        tiny,
        tracer.input('ids', [1, 77], 'i32'),
        {
          clipSkip,
        },
      ),
    },
  }));
  return graph.nodes.flatMap((node) => (node.op === 'weight' ? [node.attrs.name] : []));
};
test('clip skip does not even trace the layers it skips', () => {
  expect(weightsRead(1).some((name) => name.includes('.layers.1.'))).toBe(true);
  expect(weightsRead(2).some((name) => name.includes('.layers.1.'))).toBe(false);
  expect(weightsRead(2)).toContain('text_encoder.text_model.final_layer_norm.weight');
});

test.each([0, 3, 1.5])('refuses clip skip %d of two layers', (clipSkip) => {
  expect(() => weightsRead(clipSkip)).toThrow(UserError);
  expect(() => weightsRead(clipSkip)).toThrow(/has 2 layers/);
});

test('refuses ids that do not fit, saying what to do', () => {
  const attempt = (shape: number[], dtype: 'i32' | 'f32') => () =>
    trace((tracer) => ({
      outputs: {
        out: clipText(new Scope(tracer, 'text_encoder'), tiny, tracer.input('ids', shape, dtype))
          .pooled,
      },
    }));
  expect(attempt([1, 78], 'i32')).toThrow(
    /L up to 77, got i32 \[1, 78\]; encode longer prompts in chunks/,
  );
  expect(attempt([1, 77], 'f32')).toThrow(/got f32 \[1, 77\]/);
  expect(attempt([77], 'i32')).toThrow(UserError);
  expect(() =>
    trace((tracer) => ({
      outputs: {
        out: encodePromptChunks(
          new Scope(tracer, 'text_encoder'),
          tiny,
          tracer.input('ids', [2, 77], 'i32'),
        ),
      },
    })),
  ).toThrow(/must be \[B, chunks, L\], got \[2, 77\]/);
});
