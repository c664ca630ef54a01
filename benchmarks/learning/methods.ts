/** @file What is compared: each method with the settings that both sides get, and how each side is told them. */
import { join } from 'node:path';

/** Files and folders that both sides read. Pictures are the same in all three folders. */
export interface Paths {
  /** The base, float32, in diffusers layout. */
  readonly base: string;
  /** Pictures alone. */
  readonly plain: string;
  /** Pictures with `metadata.jsonl`, which holds whole captions: for `datasets`. */
  readonly captioned: string;
  /** Pictures with a `.txt` each that says what they show: for sdft and A1111. */
  readonly named: string;
  /** A file with `caption` as A1111 writes templates. */
  readonly template: string;
  /** Pictures of the class, drawn by the base. */
  readonly class: string;
  /** A checkout of huggingface/diffusers. */
  readonly diffusers: string;
  /** A checkout of AUTOMATIC1111/stable-diffusion-webui. */
  readonly webui: string;
  /** `tools/learning` of this repository. */
  readonly tools: string;
}

export interface Settings {
  readonly steps: number;
  readonly batch: number;
  readonly lr: number;
  readonly schedule: 'cosine' | 'constant';
  readonly weightDecay: number;
  /** Largest norm of the gradient; 0 clips nothing. */
  readonly clip: number;
}

export interface Method {
  /** The command of sdft. */
  readonly name: 'full' | 'lora' | 'dreambooth' | 'textual-inversion' | 'hypernetwork';
  /** For people. */
  readonly title: string;
  readonly theirProgram: string;
  readonly settings: Settings;
  /** How many trainings, with seeds from 0 on; by default three. */
  readonly trainings?: number;
  /** Other settings, as people say them. */
  readonly also: string;
  /** Captions of the kept-back pictures: the rule by which those trained on got theirs. */
  readonly template: string;
  /** What `{}` in that is before anything was learned. */
  readonly nameBefore?: string;
  /** How the result is opened: as a base of its own, or as a learned file of this kind. */
  readonly opens: 'base' | 'lora' | 'embedding' | 'hypernetwork';
  /** The arguments of their Python, and what of `out` is the result. */
  theirs(paths: Paths, seed: number, out: string): Command;
  /** Our recipe, beside what all methods have. */
  ours(paths: Paths, out: string): { readonly recipe: Own; readonly result: string };
}

/** What a recipe says of one method; `data` beside the resolution. */
type Own = { readonly data: Readonly<Record<string, unknown>> } & Readonly<Record<string, unknown>>;

export interface Command {
  readonly args: readonly string[];
  /** The file or folder with what was learned. */
  readonly result: string;
}

export const resolution = 64;
export const caption = (subject: string): string => `a outline drawing of ${subject}`;
export const classPrompt = 'a flat drawing of person';
export const classCount = 50;
const prompt = caption('person');
const token = '<outline>';
const init = 'flat';
const rank = 8;

/** 25 pictures make five batches: no side ends an epoch with a smaller one. */
const common = { steps: 100, batch: 5, weightDecay: 0.01, schedule: 'cosine', clip: 1 } as const;

/** What all scripts of diffusers are told. Adam's other settings are the same by default: 0.9, 0.999, 1e-8. */
const script = (
  { diffusers, base }: Paths,
  file: string,
  { steps, batch, lr, schedule, weightDecay }: Settings,
  seed: number,
  out: string,
): string[] => [
  join(diffusers, 'examples', file),
  ...['--pretrained_model_name_or_path', base, '--output_dir', out, '--seed', `${seed}`],
  ...['--resolution', `${resolution}`, '--train_batch_size', `${batch}`],
  ...['--max_train_steps', `${steps}`, '--learning_rate', `${lr}`],
  ...['--lr_scheduler', schedule, '--lr_warmup_steps', '0'],
  ...['--adam_weight_decay', `${weightDecay}`, '--mixed_precision', 'no'],
  // Every tracker that is installed: none.
  ...['--report_to', 'all'],
];

const clipped = ({ clip }: Settings): string[] => ['--max_grad_norm', `${clip}`];

export const seedsOf = ({ trainings = 3 }: Method): number[] =>
  Array.from({ length: trainings }, (_, seed) => seed);

export const methods: readonly Method[] = [
  {
    name: 'full',
    title: 'Full fine-tuning of the U-Net',
    theirProgram: 'diffusers text_to_image/train_text_to_image.py',
    settings: { ...common, lr: 1e-4 },
    also: '',
    template: caption('{caption}'),
    opens: 'base',
    theirs(paths, seed, out) {
      const file = 'text_to_image/train_text_to_image.py';
      const args = [
        ...script(paths, file, this.settings, seed, out),
        ...clipped(this.settings),
        ...['--train_data_dir', paths.captioned, '--image_column', 'image'],
        ...['--caption_column', 'text', '--cache_dir', join(out, '..', 'datasets')],
      ];
      return { args, result: out };
    },
    ours: ({ named }, out) => ({
      recipe: { data: { images: named, template: caption('{caption}') } },
      result: join(out, 'full'),
    }),
  },
  {
    name: 'lora',
    title: 'LoRA',
    theirProgram: 'diffusers dreambooth/train_dreambooth_lora.py',
    settings: { ...common, lr: 1e-3 },
    also: `rank ${rank}, attention layers`,
    template: prompt,
    opens: 'lora',
    theirs(paths, seed, out) {
      const file = 'dreambooth/train_dreambooth_lora.py';
      const args = [
        ...script(paths, file, this.settings, seed, out),
        ...clipped(this.settings),
        ...['--instance_data_dir', paths.plain, '--instance_prompt', prompt, '--rank', `${rank}`],
      ];
      return { args, result: join(out, 'pytorch_lora_weights.safetensors') };
    },
    ours: ({ named }, out) => ({
      recipe: { rank, data: { images: named, template: prompt } },
      result: join(out, 'lora.safetensors'),
    }),
  },
  {
    name: 'dreambooth',
    title: 'DreamBooth with prior preservation',
    theirProgram: 'diffusers dreambooth/train_dreambooth.py',
    settings: { ...common, lr: 5e-5 },
    also: `${classCount} class pictures, prior weight 1`,
    template: prompt,
    opens: 'base',
    theirs(paths, seed, out) {
      const file = 'dreambooth/train_dreambooth.py';
      const args = [
        ...script(paths, file, this.settings, seed, out),
        ...clipped(this.settings),
        ...['--instance_data_dir', paths.plain, '--instance_prompt', prompt],
        ...['--with_prior_preservation', '--prior_loss_weight', '1'],
        ...['--class_data_dir', paths.class, '--class_prompt', classPrompt],
        ...['--num_class_images', `${classCount}`],
      ];
      return { args, result: out };
    },
    ours: (paths, out) => ({
      recipe: {
        prompt,
        classPrompt,
        classCount,
        priorWeight: 1,
        data: { images: paths.named, classImages: { images: paths.class } },
      },
      result: join(out, 'dreambooth'),
    }),
  },
  {
    name: 'textual-inversion',
    title: 'Textual Inversion',
    theirProgram: 'diffusers textual_inversion/textual_inversion.py',
    settings: { ...common, lr: 2e-2, clip: 0 },
    // One vector at so high a rate: losses scatter ten times as widely as other methods'.
    trainings: 8,
    also: `one vector from "${init}", the script's templates for styles, half of the pictures mirrored`,
    template: 'style',
    nameBefore: init,
    opens: 'embedding',
    theirs(paths, seed, out) {
      const file = 'textual_inversion/textual_inversion.py';
      const args = [
        ...script(paths, file, this.settings, seed, out),
        ...['--train_data_dir', paths.plain, '--learnable_property', 'style'],
        ...['--placeholder_token', token, '--initializer_token', init, '--num_vectors', '1'],
      ];
      return { args, result: join(out, 'learned_embeds.safetensors') };
    },
    ours: ({ named }, out) => ({
      recipe: {
        ...{ token, init, vectors: 1 },
        data: { images: named, template: 'style', flip: 0.5 },
      },
      result: join(out, 'embedding.safetensors'),
    }),
  },
  {
    name: 'hypernetwork',
    title: 'Hypernetwork',
    theirProgram: 'A1111 modules/hypernetworks, train_hypernetwork',
    settings: { ...common, lr: 1e-3, schedule: 'constant', clip: 0 },
    also: 'layers 1, 2, 1, linear, Normal; latents sampled once',
    template: caption('{caption}'),
    opens: 'hypernetwork',
    theirs({ tools, webui, base, named, template }, seed, out) {
      const { lr, batch, steps } = this.settings;
      const result = join(out, 'outline.pt');
      const args = [
        ...[join(tools, 'a1111_hypernetwork.py'), '--webui', webui, '--base', base],
        ...['--images', named, '--template', template, '--sizes', '128, 160'],
        ...['--structure', '1, 2, 1', '--activation', 'linear', '--weight-init', 'Normal'],
        ...['--lr', `${lr}`, '--batch', `${batch}`, '--steps', `${steps}`],
        ...['--resolution', `${resolution}`, '--seed', `${seed}`, '--out', result],
      ];
      return { args, result };
    },
    ours: ({ named }, out) => ({
      recipe: {
        ...{ sizes: '128, 160', layerStructure: '1, 2, 1', activation: 'linear' },
        ...{ weightInit: 'Normal', latentSampling: 'once' },
        data: { images: named, template: caption('{caption}') },
      },
      result: join(out, 'outline.pt'),
    }),
  },
];

/** Our run, as a recipe file would say it, and where its result goes. */
export function ourRecipe(method: Method, paths: Paths, seed: number, out: string) {
  const { steps, batch, lr, schedule, weightDecay, clip } = method.settings;
  const { recipe, result } = method.ours(paths, out);
  return {
    recipe: {
      ...{ method: method.name, base: paths.base, seed, steps, batch, clip },
      optimizer: { name: 'adamw', lr, weightDecay },
      schedule: { name: schedule },
      ...recipe,
      data: { ...recipe.data, resolution },
    },
    result,
  };
}
