/** @file One micro-step of training as one graph: loss, gradient and update, with trainables and optimizer state as donated state. */
import {
  clipContext,
  emphasised,
  encodePromptChunks,
  type ScalingEmphasis,
  Scope,
  unet,
  vaeDecode,
  vaeEncode,
} from '@sdft/models';
import type { Ema, Optimizer } from '@sdft/optim';
import {
  type Graph,
  grad,
  type Shape,
  type Tensor,
  trace,
  type Tracer,
  UserError,
} from '@sdft/tensor';
import type { Adapter, Batch, Models, Needs, Objective } from '../contracts.ts';
import { kindOf, lowResSchedule, type Networks, noiseLevels } from './base.ts';
import { patchesOf } from './patches.ts';
import { type DrawSpec, tracedDraws } from './tracedDraws.ts';
import { tracedSchedule } from './tracedSchedule.ts';
import type { Attached } from './trainables.ts';
import { trainableState, withUpdate } from './update.ts';

/** What a graph is traced for: everything about a micro-step that is fixed over a run. */
export interface StepShape {
  /** B: instance pictures, then class pictures. */
  readonly batch: number;
  readonly instances: number;
  /** [height, width] of the latents. */
  readonly latents: readonly [number, number];
  /** [height, width] of the pictures, where they can be had. */
  readonly pixels?: readonly [number, number] | undefined;
  /** Tokens of a prompt with start and end: 77, or a multiple of it where prompts are cut into chunks. */
  readonly tokens: number;
  /** Whether pictures come as the moments of their posterior, or as latents that are ready. */
  readonly pictures: 'moments' | 'latents';
  /** Whether prompts come as ids, encoded in the graph, or as text states. */
  readonly text: 'ids' | 'context';
  /** What the multipliers that come with ids do, where some are not 1. */
  readonly emphasis?: ScalingEmphasis | undefined;
  /** Shape of the loss weight, where there is one. */
  readonly weight?: Shape | undefined;
}

export interface TrainSettings {
  readonly adapters: readonly Adapter[];
  readonly objective: Objective<Needs>;
  readonly optimizer: Optimizer;
  /** Running averages of what is trained. */
  readonly ema?: Ema | undefined;
  /** Micro-steps whose gradients are averaged into one step. */
  readonly accumulate: number;
  readonly clipSkip: number;
  /** Gradients compute blocks again instead of keeping their intermediates. */
  readonly recompute: boolean;
  /** Steps of the whole run, where they are known. */
  readonly steps?: number | undefined;
  /** The loss is multiplied by the input `loss.scale` before it is differentiated, and the gradients divided by it: for intermediates in f16. */
  readonly lossScaling?: boolean | undefined;
}

export interface TrainGraph {
  /**
   * Inputs, of what the objective asked for: `latent_mean`, `latent_std` (unscaled) and the draw `posterior_noise`, or `latents`; `pixel_values`; `progress`; `input_ids`, where prompts are emphasised with `multipliers`, or `context`; `weight`; all draws; learning rates `lr.INDEX`;
   * the optimizer's `number.NAME`, and again for each clock that begins later; `ema.rate` where averages are kept; `loss.scale` where losses are scaled; `trained FROM-TO` for each phase that is not the whole run; `update` (1 where this micro-step ends a step, else 0) where gradients are accumulated.
   * Outputs: `loss` of this micro-step, `gradNorm` of the gradient accumulated so far (before clipping), `norms` of its parts, in the order of `trained`.
   */
  readonly graph: Graph;
  readonly draws: readonly DrawSpec[];
  /** What it takes: of a batch the pictures themselves, their latents, the prompts, and how far the run is. */
  readonly takes: Takes;
  /** Names of the trainables that a gradient reaches. The others keep their values. */
  readonly trained: readonly string[];
}

/** What an objective asked for. */
export interface Takes {
  readonly pixels: boolean;
  readonly latents: boolean;
  readonly prompts: boolean;
  readonly progress: boolean;
}

/** Inputs that an objective has asked for so far. */
interface Asked {
  pixels?: Tensor;
  latents?: Tensor;
  context?: Tensor;
  progress?: Tensor;
}

/**
 * Traces one micro-step. Where loss or gradient are not finite, every state keeps its value.
 *
 * @throws UserError where shapes do not fit, or no gradient reaches any trainable
 */
export function trainGraph(
  base: Networks,
  attached: Attached,
  settings: TrainSettings,
  shape: StepShape,
): TrainGraph {
  let draws: readonly DrawSpec[] = [];
  let trained: readonly string[] = [];
  const asked: Asked = {};
  const graph = trace((t) => {
    const values = new Map(
      attached.trainables.map(({ name, initial }) => [
        name,
        t.state(trainableState(name), initial.shape),
      ]),
    );
    const traced = tracedDraws(t);
    const loss = lossOf(t, base, attached, settings, shape, values, traced.draw, asked);
    draws = [...traced.specs.values()];
    const gradients = scaledGradientsOf(t, loss, values, attached, settings);
    trained = Object.keys(gradients);
    return withUpdate(t, attached, settings, values, loss, gradients);
  });
  const { pixels, latents, context, progress } = asked;
  const takes = {
    pixels: pixels !== undefined,
    progress: progress !== undefined,
    latents: latents !== undefined,
    prompts: context !== undefined,
  };
  return { graph, draws, takes, trained };
}

function pixelInput(t: Tracer, { vae }: Networks, { batch, pixels }: StepShape): Tensor {
  if (!pixels)
    throw new UserError(
      'the record holds latents and no pixel_values, which the objective needs: record the run again, with pictures',
    );
  return t.input('pixel_values', [batch, vae.inChannels, ...pixels]);
}

function progressInput(t: Tracer, { steps }: TrainSettings): Tensor {
  if (steps === undefined)
    throw new UserError(
      'the objective changes over the run, and nothing says how long that is: say the number of steps (steps)',
    );
  return t.input('progress', []);
}

function lossOf(
  t: Tracer,
  base: Networks,
  attached: Attached,
  settings: TrainSettings,
  shape: StepShape,
  values: ReadonlyMap<string, Tensor>,
  draw: ReturnType<typeof tracedDraws>['draw'],
  asked: Asked,
): Tensor {
  const { adapters, objective, clipSkip, recompute } = settings;
  const penalties: Tensor[] = [];
  const patches = patchesOf(adapters, attached, {
    value: (name) => values.get(name)!,
    use: (adapter) => ({
      draw,
      strength: 1,
      layers: attached.layers,
      penalize: (penalty) => penalties.push(penaltyOf(penalty, adapters[adapter]!)),
    }),
  });
  const scope = (root: string) => new Scope(t, root, patches);
  const { batch: size, instances, tokens } = shape;

  const scaled: Models['scaled'] = (unscaled) =>
    unscaled.sub(base.vae.shiftFactor).mul(base.vae.scalingFactor);
  const latentShape = [size, base.vae.latentChannels, ...shape.latents];
  const latents = (): Tensor =>
    shape.pictures === 'latents'
      ? t.input('latents', latentShape)
      : scaled(
          t
            .input('latent_std', latentShape)
            .mul(draw.normal('posterior_noise', latentShape))
            .add(t.input('latent_mean', latentShape)),
        );

  const width = base.unet.crossAttentionDim;
  const context = (): Tensor =>
    shape.text === 'context'
      ? t.input('context', [size, tokens, width])
      : textStates(scope('text_encoder'), base, t.input('input_ids', [size, tokens], 'i32'), {
          clipSkip,
          recompute,
          ...(shape.emphasis && {
            emphasis: {
              multipliers: t.input('multipliers', [size, tokens]),
              how: shape.emphasis,
            },
          }),
        });

  const batch: Batch = {
    size,
    instances,
    get latents() {
      return (asked.latents ??= latents());
    },
    get context() {
      return (asked.context ??= context());
    },
    ...(shape.weight && { weight: t.input('weight', shape.weight) }),
    pixels: () => (asked.pixels ??= pixelInput(t, base, shape)),
    progress: () => (asked.progress ??= progressInput(t, settings)),
  };
  const models: Models = {
    get kind() {
      return kindOf(base);
    },
    scaled,
    unet: (sample, timestep, encoderHiddenStates, classLabels) => {
      checkChannels(base, objective, sample);
      return unet(
        scope('unet'),
        base.unet,
        { sample, timestep, encoderHiddenStates, classLabels },
        { recompute },
      );
    },
    encode: (pictures) => vaeEncode(scope('vae'), base.vae, pictures),
    decode: (sample) => vaeDecode(scope('vae'), base.vae, sample),
    schedule: tracedSchedule(t, base.schedule),
    lowRes: lowResOf(t, base),
  };
  const losses = objective(models, batch, draw);
  if (losses.dtype !== 'f32' || !(losses.rank === 0 || String(losses.shape) === String([size])))
    throw new UserError(
      `the objective must give the loss of each of the ${size} samples, f32 [${size}], or one number; it gave ${losses.dtype} [${losses.shape.join(', ')}]`,
    );
  return penalties.reduce((sum, penalty) => sum.add(penalty), losses.mean());
}

function lowResOf(t: Tracer, base: Networks): Models['lowRes'] {
  if (base.unet.numClassEmbeds === undefined) return undefined;
  return { schedule: tracedSchedule(t, lowResSchedule(base)), levels: noiseLevels(base) };
}

function penaltyOf(penalty: Tensor, { name }: Adapter): Tensor {
  if (penalty.dtype === 'f32' && penalty.rank === 0) return penalty;
  throw new UserError(
    `adapter ${name}: penalize takes one f32 number, got ${penalty.dtype} [${penalty.shape.join(', ')}]; take its mean or sum`,
  );
}

/** Throws UserError where the objective is made for another kind of base. */
function checkChannels(
  base: Networks,
  { recipe, name }: Objective<Needs>,
  { shape }: Tensor,
): void {
  const { inChannels } = base.unet;
  if (shape[1] === inChannels) return;
  const what = String(recipe?.['name'] ?? name);
  throw new UserError(
    `${base.name} is made for ${kindOf(base)}: its U-Net takes ${inChannels} channels, and the objective${what === '' ? '' : ` ${what}`} gives it ${shape[1]}; train it with a method for such models, or take another base`,
  );
}

/** Ids [B, tokens] to states [B, tokens, width]; more than one window goes in chunks that do not see one another. `multipliers` is [B, tokens]. */
export function textStates(
  scope: Scope,
  { textEncoder }: Networks,
  ids: Tensor,
  {
    emphasis,
    ...options
  }: {
    readonly clipSkip: number;
    readonly recompute?: boolean;
    readonly emphasis?: { readonly multipliers: Tensor; readonly how: ScalingEmphasis };
  },
): Tensor {
  const [batch, tokens] = ids.shape as [number, number];
  const window = Math.min(tokens, textEncoder.maxPositionEmbeddings);
  const chunks = [batch, tokens / window, window];
  const states =
    tokens === window
      ? clipContext(scope, textEncoder, ids, options)
      : encodePromptChunks(scope, textEncoder, ids.reshape(chunks), options);
  if (!emphasis) return states;
  const { multipliers, how } = emphasis;
  return emphasised(
    states.reshape([...chunks, textEncoder.hiddenSize]),
    multipliers.reshape(chunks),
    how,
  ).reshape(states.shape);
}

function scaledGradientsOf(
  t: Tracer,
  loss: Tensor,
  values: ReadonlyMap<string, Tensor>,
  attached: Attached,
  { lossScaling = false }: TrainSettings,
): Record<string, Tensor> {
  if (!lossScaling) return gradientsOf(loss, values, attached);
  const scale = t.input('loss.scale', []);
  const scaled = gradientsOf(loss.mul(scale), values, attached);
  return Object.fromEntries(
    Object.entries(scaled).map(([name, gradient]) => [name, gradient.div(scale)]),
  );
}

/** The gradient of each trainable that the loss depends on. */
function gradientsOf(
  loss: Tensor,
  values: ReadonlyMap<string, Tensor>,
  { trainables }: Attached,
): Record<string, Tensor> {
  const names = trainables.map(({ name }) => name);
  const all = grad(
    loss,
    names.map((name) => values.get(name)!),
  );
  const reached = names.flatMap((name, i) => (isZero(all[i]!) ? [] : [[name, all[i]!] as const]));
  if (reached.length === 0)
    throw new UserError(
      `the loss does not depend on any trainable (${some(names)}): nothing would be learned. Attach the adapter to layers that the objective uses`,
    );
  return Object.fromEntries(reached);
}

/** Whether a gradient is the zero that `grad` gives where there is no way from the loss. */
function isZero({ builder, id }: Tensor): boolean {
  let node = builder.node(id);
  while (node.op === 'broadcast' || node.op === 'reshape') node = builder.node(node.inputs[0]!);
  return node.op === 'constant' && node.attrs.data.every((value) => value === 0);
}

/** The first of a list of names, and how many more there are. */
export function some(names: readonly string[], most = 3): string {
  const more = names.length - most;
  return names.slice(0, most).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
