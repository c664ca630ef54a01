import type { Command } from 'commander';

/** A command; what declares its flags is loaded when it is called, and may look at the arguments. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  load(): Promise<(summary: string, args: readonly string[]) => Command | Promise<Command>>;
}

/** In the order in which a person meets them. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'prepare',
    summary: 'make pictures ready for training: size, colours, captions',
    load: async () => (await import('../commands/prepare.ts')).prepareCommand,
  },
  {
    name: 'train',
    summary: 'teach a model something from your pictures',
    load: async () => (await import('../commands/train.ts')).trainCommand,
  },
  {
    name: 'generate',
    summary: 'draw pictures, with what was trained',
    load: async () => (await import('../commands/generate.ts')).generateCommand,
  },
  {
    name: 'upscale',
    summary: 'enlarge pictures by a model that is made for it, with what was trained',
    load: async () => (await import('../commands/upscale.ts')).upscaleCommand,
  },
  {
    name: 'compare',
    summary: 'hold runs beside each other on one page: pictures, losses and figures',
    load: async () => (await import('../commands/compare.ts')).compareCommand,
  },
  {
    name: 'inspect',
    summary: 'say what a file or folder is and what it holds; never executes anything in it',
    load: async () => (await import('../commands/inspect.ts')).inspectCommand,
  },
  {
    name: 'convert',
    summary: 'write a checkpoint, an embedding or a LoRA in another layout',
    load: async () => (await import('../commands/convert.ts')).convertCommand,
  },
  {
    name: 'merge',
    summary: 'add LoRA files into the weights of a base: a checkpoint of its own',
    load: async () => (await import('../commands/merge.ts')).mergeCommand,
  },
  {
    name: 'extract',
    summary: 'make a LoRA of what a model has learned beyond its base',
    load: async () => (await import('../commands/extract.ts')).extractCommand,
  },
  {
    name: 'resize',
    summary: 'give a LoRA another rank',
    load: async () => (await import('../commands/resize.ts')).resizeCommand,
  },
  {
    name: 'tokenize',
    summary: 'show the tokens of a prompt, and what the 77-token limit cuts',
    load: async () => (await import('../commands/tokenize.ts')).tokenizeCommand,
  },
  {
    name: 'eval',
    summary: 'run one network on given tensors, to compare it with another implementation',
    load: async () => (await import('../commands/eval.ts')).evalCommand,
  },
  {
    name: 'init',
    summary: 'make a checkpoint of a known architecture with random weights',
    load: async () => (await import('../commands/init.ts')).initCommand,
  },
  {
    name: 'doctor',
    summary: 'check this machine, and say how to mend what does not work',
    load: async () => (await import('../commands/doctor.ts')).doctorCommand,
  },
];
