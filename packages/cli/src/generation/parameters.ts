/** @file Settings of a picture as A1111 keeps them in its PNG: written with every picture, and read back by `--like`. */
import { readFileSync, statSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { type Learned, readPng } from '@sdft/methods';
import {
  type Emphasis,
  parametersText,
  parseParameters,
  type PictureParameters,
  type SamplerName,
} from '@sdft/models';
import { hashFile } from '@sdft/models/node';
import { UserError } from '@sdft/tensor';
import type { GenerateFlags } from '../commands/generate.ts';
import type { DrawingFlags } from '../options/drawing.ts';
import { size } from '../options/values.ts';
import { version } from '../version.ts';

/** A1111's names. */
const samplerNames: Readonly<Record<SamplerName, string>> = {
  ddim: 'DDIM',
  euler: 'Euler',
  'euler-a': 'Euler a',
  plms: 'PLMS',
  'dpmpp-2m': 'DPM++ 2M',
};
const emphasisNames: Readonly<Record<Emphasis, string>> = {
  original: 'Original',
  'no-norm': 'No norm',
  ignore: 'Ignore',
  none: 'None',
};

/** First digits of the sha256 of a base or a VAE that is one file, as A1111 shows them. */
async function modelHash(path: string): Promise<string | undefined> {
  const isFile = path !== 'nano' && statSync(path).isFile();
  return isFile ? (await hashFile(path)).short : undefined;
}

/** By which files pictures are drawn, in A1111's words: hashes of the base, of another VAE, and of what was learned. */
export async function fileMarks(
  { base, vae }: Pick<GenerateFlags, 'base' | 'vae'>,
  learned: readonly Learned[],
): Promise<Readonly<Record<string, string | undefined>>> {
  const marks: Record<string, string | undefined> = {
    'Model hash': await modelHash(base),
    'VAE hash': vae === undefined ? undefined : await modelHash(vae),
    VAE: vae === undefined ? undefined : basename(vae),
  };
  for (const { file, mark } of learned)
    if (mark) {
      const name = basename(file, extname(file)).replace(/[:,]/g, '');
      const before = marks[mark.setting];
      marks[mark.setting] =
        `${before === undefined ? '' : `${before}, `}${name}: ${await mark.digits()}`;
    }
  return marks;
}

/** Flags that say how a picture came to be. */
type Told = DrawingFlags &
  Pick<GenerateFlags, 'initImage' | 'strength' | 'mask'> & { readonly noiseLevel?: number };

/** The text for a picture [height, width] in pixels. */
export function textOf(
  flags: Told,
  {
    prompt,
    seed,
    height,
    width,
    marks,
  }: {
    readonly prompt: string;
    readonly seed: number;
    readonly height: number;
    readonly width: number;
    readonly marks: Awaited<ReturnType<typeof fileMarks>>;
  },
): string {
  const { sampler, sigmas, clipSkip, spacing, promptSyntax: syntax } = flags;
  const emphasis = syntax === 'plain' ? 'none' : flags.emphasis;
  const leveled = sampler !== 'ddim' && sampler !== 'plms';
  const said: Readonly<Record<string, string | number | undefined>> = {
    Steps: flags.steps,
    Sampler: samplerNames[sampler],
    'Schedule type': leveled ? (sigmas === 'karras' ? 'Karras' : 'Uniform') : undefined,
    'CFG scale': flags.cfg,
    Seed: seed,
    Size: `${width}x${height}`,
    'Model hash': marks['Model hash'],
    Model: basename(flags.base).replace(/\.(safetensors|sft|ckpt|pt)$/i, ''),
    'Denoising strength':
      flags.initImage === undefined
        ? undefined
        : (flags.strength ?? (flags.mask === undefined ? 0.8 : 1)),
    'Noise level': flags.noiseLevel,
    'Init image': flags.initImage === undefined ? undefined : basename(flags.initImage),
    Mask: flags.mask === undefined ? undefined : basename(flags.mask),
    'Clip skip': clipSkip > 1 ? clipSkip : undefined,
    ...marks,
    Emphasis: emphasis === 'original' ? undefined : emphasisNames[emphasis],
    'Prompt syntax': syntax === 'plain' ? syntax : undefined,
    'Timestep spacing': spacing,
    Version: `sdft ${version()}`,
  };
  const settings = Object.fromEntries(
    Object.entries(said).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, String(value)]],
    ),
  );
  return parametersText({ prompt, negative: flags.negative ?? '', settings });
}

/** The text in a PNG; undefined where there is none. Throws UserError where the file is no PNG. */
export function textIn(path: string): string | undefined {
  let bytes;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UserError(`${path}: cannot be read: ${(error as Error).message}`);
  }
  return readPng(bytes, path).texts.get('parameters');
}

/**
 * The flags with what a picture says where nothing was typed. What the picture was drawn by and cannot be drawn by here is refused.
 *
 * @param typed whether a flag was typed, by its attribute
 * @throws UserError where the picture holds no settings, or such that are not known here
 */
export function likePicture(
  flags: GenerateFlags,
  typed: (attribute: string) => boolean,
): GenerateFlags {
  const path = flags.like;
  if (path === undefined) return flags;
  const text = textIn(path);
  if (text === undefined)
    throw new UserError(`--like ${path}: holds no text "parameters", in which settings are kept`);
  const read = parseParameters(text);
  const told = toldBy(read, path);
  refuseWithoutPictures(flags, read, path);
  const own = Object.entries(told).filter(
    ([attribute, value]) => value !== undefined && !typed(attribute),
  );
  return { ...flags, ...Object.fromEntries(own) };
}

/** Throws UserError where a picture was drawn from another, which its text does not hold. Of A1111's, those made larger (hires fix) have a strength, too. */
function refuseWithoutPictures(
  flags: GenerateFlags,
  { settings }: PictureParameters,
  path: string,
): void {
  const isFromPicture =
    settings['Denoising strength'] !== undefined && settings['Hires upscale'] === undefined;
  const named = (key: string): string => (settings[key] === undefined ? '' : ` (${settings[key]})`);
  if (isFromPicture && flags.initImage === undefined)
    throw new UserError(
      `--like ${path}: was drawn from another picture${named('Init image')}, which it does not hold: give it with --init-image; its strength comes along`,
    );
  if (settings['Mask'] !== undefined && flags.mask === undefined)
    throw new UserError(
      `--like ${path}: was drawn under a mask${named('Mask')}, which it does not hold: give it with --mask`,
    );
}

function toldBy({ prompt, negative, settings }: PictureParameters, path: string) {
  const fail = (what: string): UserError =>
    new UserError(`--like ${path}: ${what}; say the flag yourself`);
  const number = (key: string): number | undefined => {
    const value = settings[key] === undefined ? undefined : Number(settings[key]);
    if (Number.isNaN(value)) throw fail(`its ${key} is "${settings[key]}", which is no number`);
    return value;
  };
  const named = <T extends string>(key: string, names: Readonly<Record<T, string>>, value = '') => {
    const found = (Object.keys(names) as T[]).find((name) => names[name] === value);
    if (value !== '' && found === undefined)
      throw fail(`its ${key} is "${value}"; known here are ${Object.values(names).join(', ')}`);
    return found;
  };
  // Before 1.9 the name of the sampler said the noise levels, too.
  const [, samplerText, karras] = /^(.*?)( Karras)?$/.exec(settings['Sampler'] ?? '')!;
  const sampler = named('Sampler', samplerNames, samplerText);
  const type = settings['Schedule type'] ?? (karras ? 'Karras' : undefined);
  const sigmas =
    type === undefined || type === 'Automatic'
      ? sampler === 'dpmpp-2m' && type === 'Automatic'
        ? 'karras'
        : 'normal'
      : named('Schedule type', { karras: 'Karras', normal: 'Uniform' }, type);
  const spacing = settings['Timestep spacing'];
  return {
    prompt: prompt === '' ? undefined : [prompt],
    negative: negative === '' ? undefined : negative,
    promptSyntax: settings['Prompt syntax'] === 'plain' ? 'plain' : 'a1111',
    emphasis:
      settings['Prompt syntax'] === 'plain'
        ? 'original'
        : named('Emphasis', emphasisNames, settings['Emphasis']),
    steps: number('Steps'),
    cfg: number('CFG scale'),
    seed: number('Seed'),
    strength: settings['Hires upscale'] === undefined ? number('Denoising strength') : undefined,
    clipSkip: number('Clip skip') ?? 1,
    sampler,
    sigmas,
    size: settings['Size'] === undefined ? undefined : size('Size')(settings['Size']),
    spacing: ['leading', 'linspace', 'trailing'].find((name) => name === spacing),
  };
}
