import { type Tensor, trace } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import {
  parseClipTextConfig,
  parseUNetConfig,
  parseVaeConfig,
} from '../../src/checkpoint/configFile.ts';
import { clipText } from '../../src/clip/clipText.ts';
import { clipTextLayers } from '../../src/clip/layers.ts';
import { linear } from '../../src/layers/linear.ts';
import { parametersOf } from '../../src/layersOf.ts';
import { type Layer, Scope } from '../../src/scope.ts';
import { unetLayers } from '../../src/unet/layers.ts';
import { unet } from '../../src/unet/unet.ts';
import { vaeLayers } from '../../src/vae/layers.ts';
import { vaeDecode, vaeEncode } from '../../src/vae/vae.ts';
import { json, open } from './harness.ts';

const parts = [
  {
    root: 'unet',
    file: 'diffusion_pytorch_model',
    layers: (config: unknown) => unetLayers(parseUNetConfig(config, 'unet')),
  },
  {
    root: 'vae',
    file: 'diffusion_pytorch_model',
    layers: (config: unknown) => vaeLayers(parseVaeConfig(config, 'vae')),
  },
  {
    root: 'text_encoder',
    file: 'model',
    layers: (config: unknown) => clipTextLayers(parseClipTextConfig(config, 'text')),
  },
];

describe.each(['fixtures/goldens/tiny-sd', 'packages/nano/model'])('%s', (folder) => {
  test.each(parts)('holds exactly the parameters that $root reads', ({ root, file, layers }) => {
    const { tensors } = open(`${folder}/${root}/${file}.safetensors`);
    const stored = [...tensors]
      .filter(([name]) => !name.endsWith('position_ids'))
      .map(([name, { shape }]) => [`${root}.${name}`, shape] as const);
    const read = parametersOf(layers(json(`${folder}/${root}/config.json`)));
    expect(Object.fromEntries(read)).toEqual(Object.fromEntries(stored));
  });
});

const sizeOf = (layers: readonly Layer[]) =>
  [...parametersOf(layers).values()].reduce(
    (sum, shape) => sum + shape.reduce((n, d) => n * d, 1),
    0,
  );
// Counts of tensors and parameters in v1-5-pruned-emaonly.safetensors and, for SD2, 512-base-ema.safetensors (the U-Net).
test('SD1 and SD2 have their published sizes', () => {
  const sd1 = unetLayers(parseUNetConfig({ cross_attention_dim: 768 }, 'sd1'));
  expect([parametersOf(sd1).size, sizeOf(sd1)]).toEqual([686, 859_520_964]);
  const sd2 = unetLayers(
    parseUNetConfig(
      {
        cross_attention_dim: 1024,
        attention_head_dim: [5, 10, 20, 20],
        use_linear_projection: true,
      },
      'sd2',
    ),
  );
  expect(sizeOf(sd2)).toBe(865_910_724);
  const text = clipTextLayers(
    parseClipTextConfig(
      {
        hidden_size: 768,
        intermediate_size: 3072,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        eos_token_id: 49407,
      },
      'sd1',
    ),
  );
  expect([parametersOf(text).size, sizeOf(text)]).toEqual([196, 123_060_480]);
  const vae = vaeLayers(
    parseVaeConfig(
      {
        block_out_channels: [128, 256, 512, 512],
        down_block_types: new Array<string>(4).fill('DownEncoderBlock2D'),
        up_block_types: new Array<string>(4).fill('UpDecoderBlock2D'),
        layers_per_block: 2,
        latent_channels: 4,
      },
      'sd1',
    ),
  );
  expect([parametersOf(vae).size, sizeOf(vae)]).toEqual([248, 83_653_863]);
});

const tiny = parseUNetConfig(json('fixtures/goldens/tiny-sd/unet/config.json'), 'tiny-sd');
const tinyUNet = (scope: Scope): Tensor =>
  unet(scope, tiny, {
    sample: scope.tracer.input('sample', [2, 4, 8, 8]),
    timestep: scope.tracer.input('timestep', [2], 'i32'),
    encoderHiddenStates: scope.tracer.input('context', [2, 77, 12]),
  });

test('layers say what adapters need to know', () => {
  const layers = new Map(unetLayers(tiny).map((layer) => [layer.path, layer]));
  expect(layers.get('unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k')).toEqual({
    path: 'unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k',
    kind: 'linear',
    in: 12,
    out: 32,
    parameters: { weight: [32, 12] },
  });
  expect(layers.get('unet.down_blocks.1.downsamplers.0.conv')).toEqual({
    path: 'unet.down_blocks.1.downsamplers.0.conv',
    kind: 'conv2d',
    in: 16,
    out: 16,
    parameters: { weight: [16, 16, 3, 3], bias: [16] },
    conv: { stride: [2, 2], padding: [1, 1, 1, 1] },
  });
  expect(layers.get('unet.conv_norm_out')?.kind).toBe('norm');
  const text = clipTextLayers(
    parseClipTextConfig(json('fixtures/goldens/tiny-sd/text_encoder/config.json'), 'tiny-sd'),
  );
  expect(text[0]).toEqual({
    path: 'text_encoder.text_model.embeddings.token_embedding',
    kind: 'embedding',
    in: 49408,
    out: 12,
    parameters: { weight: [49408, 12] },
  });
});

test('every node of a network belongs to a place in it', () => {
  const text = parseClipTextConfig(
    json('fixtures/goldens/tiny-sd/text_encoder/config.json'),
    'tiny-sd',
  );
  const vae = parseVaeConfig(json('fixtures/goldens/tiny-sd/vae/config.json'), 'tiny-sd');
  const graph = trace((tracer) => {
    const scope = (root: string) => new Scope(tracer, root);
    const decoded = vaeDecode(scope('vae'), vae, tracer.input('latents', [1, 4, 2, 2]));
    const { mean } = vaeEncode(scope('vae'), vae, decoded);
    const { pooled } = clipText(scope('text'), text, tracer.input('ids', [1, 77], 'i32'));
    return { outputs: { out: tinyUNet(scope('unet')), mean, pooled } };
  });
  const homeless = graph.nodes.filter(
    ({ path, op }) => !path && !['input', 'weight', 'constant'].includes(op),
  );
  expect(homeless.map(({ op }) => op)).toEqual([]);
});

test('an adapter stands in for parameters and wraps layers', () => {
  const seen: string[] = [];
  const graph = trace((tracer) => {
    const scope = new Scope(tracer, 'unet', {
      wrap: (layer, apply, frozen) => {
        if (layer.path === 'unet.conv_in') {
          const trained = tracer.state('trained', layer.parameters['bias']!);
          return (x) => apply(x, (name) => (name === 'bias' ? trained : frozen(name)));
        }
        if (!layer.path.endsWith('attn1.to_q')) return (x) => apply(x, frozen);
        seen.push(layer.path);
        expect(frozen('weight').shape).toEqual(layer.parameters['weight']);
        return (x) => apply(x, frozen).add(linear(scope.at(`added.${seen.length}`), x, layer.out));
      },
    });
    return { outputs: { out: tinyUNet(scope) } };
  });
  const weights = graph.nodes.flatMap((node) => (node.op === 'weight' ? [node.attrs.name] : []));
  expect(weights).not.toContain('unet.conv_in.bias');
  expect(weights).toContain('unet.conv_in.weight');
  expect(weights).toContain('unet.added.16.weight');
  expect(seen.length).toBe(16);
});
