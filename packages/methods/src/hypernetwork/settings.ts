import { z } from 'zod';
import { denoiseSettings } from '../objectives/settings.ts';
import { weightInits } from './structure.ts';

const numbers = z.union([z.string().min(1), z.array(z.number()).min(1)]);

/** What a recipe can say of a hypernetwork. */
export const settingsSchema = z.strictObject({
  layerStructure: numbers
    .meta({
      flag: '--layer-structure <numbers>',
      description:
        'widths inside a module as multiples of the context\'s; begins and ends with 1 (default: "1, 2, 1")',
    })
    .optional(),
  activation: z
    .string()
    .min(1)
    .meta({
      flag: '--activation <name>',
      description:
        'between the layers of a module: linear (none, the default), relu, leakyrelu, elu, swish, tanh, sigmoid, or one of torch.nn',
    })
    .optional(),
  layerNorm: z
    .boolean()
    .meta({ flag: '--layer-norm', description: 'a LayerNorm after every layer of a module' })
    .optional(),
  activateOutput: z
    .boolean()
    .meta({ flag: '--activate-output', description: 'the activation after the last layer, too' })
    .optional(),
  dropoutStructure: numbers
    .meta({
      flag: '--dropout-structure <numbers>',
      description:
        'share of values dropped behind each layer, as many numbers as the layer structure has: "0, 0.1, 0"',
    })
    .optional(),
  weightInit: z
    .enum(weightInits)
    .meta({
      flag: '--weight-init <name>',
      description: 'how weights start; Kaiming for relu and its like, Xavier for sigmoid and tanh',
    })
    .optional(),
  sizes: numbers
    .meta({
      flag: '--sizes <widths>',
      description:
        'widths of the contexts that get modules: "768, 320, 640, 1280"; all that the base has by default',
    })
    .optional(),
  modules: z
    .enum(['width', 'layer'])
    .meta({
      flag: '--modules <which>',
      description:
        "one pair for all layers of a width (the default, and A1111's), or one module for each layer",
    })
    .optional(),
  shallowPenalty: z
    .number()
    .min(0)
    .meta({
      flag: '--shallow-penalty <x>',
      description:
        'restrains what modules of layers near both ends of the U-Net add; with --modules layer',
    })
    .optional(),
  optimizerState: z
    .boolean()
    .meta({
      flag: '--optimizer-state',
      description:
        "write A1111's FILE.pt.optim, too, and go on from the one beside --init-from, with its steps",
    })
    .optional(),
  ...denoiseSettings.shape,
});
