/** @file The networks beside the training step, each as a graph of its own. */
import { Scope, unet, vaeDecode, vaeEncode } from '@sdft/models';
import { type Graph, type Tensor, trace, type Tracer } from '@sdft/tensor';
import type { Adapter } from '../contracts.ts';
import type { Base } from '../training/base.ts';
import { patchesOf } from '../training/patches.ts';
import { textStates } from '../training/trainGraph.ts';
import { trainableState } from '../training/update.ts';
import type { Attached } from '../training/trainables.ts';

/** Adapters whose present values are states of a graph, called as in the training graph, and whose strengths are states, too. */
export interface Applied {
  readonly adapters: readonly Adapter[];
  readonly attached: Attached;
}

/** No adapter at all: the frozen networks. */
export const nothing: Applied = {
  adapters: [],
  attached: { trainables: [], rates: [], phases: [], at: new Map(), layers: [], text: false },
};

/** `pixels` [B,3,H,W] in -1..1 -> `mean` and `std` [B,C,h,w] of the posterior, unscaled. */
export const encodePictureGraph = (base: Base, height: number, width: number, batch = 1): Graph =>
  trace((t) => {
    const pixels = t.input('pixels', [batch, base.vae.inChannels, height, width]);
    const { mean, logvar } = vaeEncode(new Scope(t, 'vae'), base.vae, pixels);
    return { outputs: { mean, std: logvar.mul(0.5).exp() } };
  });

/** `latents` [1,C,h,w], scaled -> `pixels` [1,3,H,W], about -1..1. */
export const decodePictureGraph = (
  base: Base,
  height: number,
  width: number,
  applied: Applied,
): Graph =>
  trace((t) => {
    const latents = t.input('latents', [1, base.vae.latentChannels, height, width]);
    const unscaled = latents.div(base.vae.scalingFactor).add(base.vae.shiftFactor);
    const scope = new Scope(t, 'vae', statePatches(t, applied));
    return { outputs: { pixels: vaeDecode(scope, base.vae, unscaled) } };
  });

/** `input_ids` [1, tokens] -> `context` [1, tokens, width]. */
export const encodeTextGraph = (
  base: Base,
  tokens: number,
  clipSkip: number,
  applied: Applied,
): Graph =>
  trace((t) => {
    const ids = t.input('input_ids', [1, tokens], 'i32');
    const scope = new Scope(t, 'text_encoder', statePatches(t, applied));
    return { outputs: { context: textStates(scope, base, ids, { clipSkip }) } };
  });

/** `sample` [B,C,h,w], `timestep` [B] f32, `context` [B,L,D], of upscaling bases `noise_level` [B] i32 -> `prediction` [B,C',h,w]. */
export const denoiseGraph = (
  base: Base,
  shape: {
    readonly batch: number;
    readonly height: number;
    readonly width: number;
    readonly tokens: number;
  },
  applied: Applied,
): Graph =>
  trace((t) => {
    const { batch, height, width, tokens } = shape;
    const prediction = unet(new Scope(t, 'unet', statePatches(t, applied)), base.unet, {
      sample: t.input('sample', [batch, base.unet.inChannels, height, width]),
      timestep: t.input('timestep', [batch]),
      encoderHiddenStates: t.input('context', [batch, tokens, base.unet.crossAttentionDim]),
      ...(base.unet.numClassEmbeds !== undefined && {
        classLabels: t.input('noise_level', [batch], 'i32'),
      }),
    });
    return { outputs: { prediction } };
  });

function statePatches(t: Tracer, { adapters, attached }: Applied) {
  const values = new Map<string, Tensor>();
  const strengths = new Map<number, Tensor>();
  const shapes = new Map(attached.trainables.map(({ name, initial }) => [name, initial.shape]));
  return patchesOf(adapters, attached, {
    value: (name) => {
      const known = values.get(name) ?? t.state(trainableState(name), shapes.get(name)!);
      values.set(name, known);
      return known;
    },
    use: (adapter) => {
      const strength = strengths.get(adapter) ?? t.state(strengthState(adapter), []);
      strengths.set(adapter, strength);
      return {
        draw: undefined,
        strength,
        layers: attached.layers,
        penalize: () => undefined,
      };
    },
  });
}

/** Name of the state that says how much of an adapter counts. */
export const strengthState = (adapter: number): string => `strength ${adapter}`;
