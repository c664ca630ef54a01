import { clipContext, clipText, Scope, unet, vaeDecode, vaeEncode } from '@sdft/models';
import { type Checkpoint } from '@sdft/models/node';
import { type DType, type Tensor, type Tracer, UserError } from '@sdft/tensor';
import type { ModuleName } from '../commands/eval.ts';

export interface ModuleInput {
  readonly dtype: DType;
  readonly shape: string;
  /** Which models take it; by default all. */
  readonly only?: (checkpoint: Checkpoint) => boolean;
}

/** One network as a function of named tensors. */
export interface Module {
  /** Root of its weights' paths. */
  readonly root: 'unet' | 'text_encoder' | 'vae';
  /** Its inputs: element type, and the shape for people. */
  readonly inputs: Readonly<Record<string, ModuleInput>>;
  /** Throws UserError where an input does not fit the network. */
  trace(
    tracer: Tracer,
    checkpoint: Checkpoint,
    inputs: Readonly<Record<string, Tensor>>,
    options: { readonly clipSkip: number },
  ): Readonly<Record<string, Tensor>>;
}

/** The noise levels of upscaling models. */
const hasLabels = ({ unet: { numClassEmbeds } }: Checkpoint): boolean =>
  numClassEmbeds !== undefined;

export const modules: Readonly<Record<ModuleName, Module>> = {
  unet: {
    root: 'unet',
    inputs: {
      sample: { dtype: 'f32', shape: '[B,C,h,w]' },
      // Fractional timesteps are possible.
      timestep: { dtype: 'f32', shape: '[B]' },
      encoder_hidden_states: { dtype: 'f32', shape: '[B,L,C]' },
      class_labels: { dtype: 'i32', shape: '[B]', only: hasLabels },
    },
    trace: (tracer, { unet: config }, inputs) => ({
      sample: unet(new Scope(tracer, 'unet'), config, {
        sample: inputs['sample']!,
        timestep: inputs['timestep']!,
        encoderHiddenStates: inputs['encoder_hidden_states']!,
        classLabels: inputs['class_labels'],
      }),
    }),
  },
  text: {
    root: 'text_encoder',
    inputs: { input_ids: { dtype: 'i32', shape: '[B,77]' } },
    trace: (tracer, { textEncoder: config }, { input_ids: ids }, { clipSkip }) => {
      const scope = new Scope(tracer, 'text_encoder');
      const whole = clipText(scope, config, ids!);
      return {
        last_hidden_state:
          clipSkip === 1 ? whole.lastHiddenState : clipContext(scope, config, ids!, { clipSkip }),
        pooled: whole.pooled,
      };
    },
  },
  'vae-encode': {
    root: 'vae',
    inputs: { pixels: { dtype: 'f32', shape: '[B,3,H,W]' } },
    trace: (tracer, { vae: config }, { pixels }) => {
      const [, , height = 0, width = 0] = pixels!.shape;
      const least = 2 ** (config.blockOutChannels.length - 1);
      if (height < least || width < least)
        throw new UserError(
          `pixels [${pixels!.shape.join(', ')}]: height and width must be at least ${least}`,
        );
      return { ...vaeEncode(new Scope(tracer, 'vae'), config, pixels!) };
    },
  },
  'vae-decode': {
    root: 'vae',
    inputs: { latents: { dtype: 'f32', shape: '[B,C,h,w]' } },
    trace: (tracer, { vae: config }, { latents }) => ({
      pixels: vaeDecode(new Scope(tracer, 'vae'), config, latents!),
    }),
  },
};
