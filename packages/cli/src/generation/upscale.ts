import { basename, extname, join } from 'node:path';
import { toPixels } from '@sdft/data';
import { decodePicture, readSize, writePng } from '@sdft/data/node';
import { type Base, openGenerator } from '@sdft/pipeline';
import { hostArray, type HostArray, UserError } from '@sdft/tensor';
import type { UpscaleFlags } from '../commands/upscale.ts';
import { checkTarget } from '../files/checkTarget.ts';
import { Output } from '../terminal/output.ts';
import { counted } from '../terminal/quantities.ts';
import { checkDrawing, openDrawing, tellOpened, timestepsOf } from './opened.ts';
import { fileMarks, textOf } from './parameters.ts';
import { LatentFile, readLatents, readLowResNoise } from './tensorFiles.ts';

/**
 * Enlarges pictures and writes them, each as soon as it is there, with its settings.
 *
 * @throws UserError
 */
export async function upscale(pictures: readonly string[], flags: UpscaleFlags): Promise<void> {
  const output = new Output(flags.json ?? false);
  const { force = false, saveLatents, saveTrajectory } = flags;
  const files = filesFor(pictures, flags);
  const opened = await openDrawing(flags, [flags.prompt], output);
  const { backend, base, learned } = opened;
  const [{ text, strengths }] = opened.prompts as [(typeof opened.prompts)[number]];
  checkDrawing(flags, base);
  const calls = timestepsOf(flags, base).length;
  const given = givenNoise(pictures, flags, base);
  for (const file of files) checkTarget('--out', file, force);
  tellOpened(flags, opened, [flags.prompt], output);

  await using generator = await openGenerator(base, learned, { backend });
  const seed = flags.seed ?? Math.floor(Math.random() * 2 ** 32);
  const { negative, steps, cfg, sampler, spacing, sigmas, noiseLevel } = flags;
  const { clipSkip, promptSyntax, emphasis } = flags;
  const options = {
    ...{ seed, negative, steps, cfg, sampler, spacing, sigmas, noiseLevel, strengths },
    ...{ clipSkip, promptSyntax, emphasis, ...given },
  };
  // All are looked at before the first one is enlarged.
  for (const path of pictures) generator.check(text, { ...options, lowRes: await lowResOf(path) });
  output.note(`enlarging ${counted(pictures.length, 'picture')}, seed ${seed}`);
  const marks = fileMarks(flags, learned);
  // Whoever waits for it hears of an error.
  marks.catch(() => undefined);
  const [final, trajectory] = [new LatentFile(), new LatentFile()];
  const line = output.progress({ title: 'enlarging', total: calls * pictures.length });
  for (const [i, path] of pictures.entries()) {
    const [made] = await generator.generate(text, {
      ...options,
      lowRes: await lowResOf(path),
      onStep: ({ step, latents }) => {
        line.step({ steps: 1 });
        if (saveTrajectory !== undefined) trajectory.add(`latents.${step}`, latents);
      },
    });
    const { picture, latents } = made!;
    const [height, width] = picture.shape as [number, number, number];
    const about = { prompt: flags.prompt, seed, height, width, marks: await marks };
    await writePng(files[i]!, picture, {
      force,
      texts: { parameters: textOf(flags, about) },
    });
    output.print(files[i]!);
    output.record({ file: files[i], from: path, seed, prompt: flags.prompt });
    if (saveLatents !== undefined) final.add('latents', latents);
  }
  output.end();
  if (saveLatents !== undefined) await final.write(saveLatents, force);
  if (saveTrajectory !== undefined) await trajectory.write(saveTrajectory, force);
}

/** Where each picture goes: its name, as PNG. Throws UserError where two have one name. */
function filesFor(pictures: readonly string[], { out }: UpscaleFlags): string[] {
  const names = pictures.map((path) => basename(path, extname(path)));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new UserError(
      `two pictures are called ${twice}, and both would become ${join(out, twice)}.png; enlarge them one after the other, into a folder each`,
    );
  return names.map((name) => join(out, `${name}.png`));
}

/** The noise that flags give. Throws UserError. */
function givenNoise(
  pictures: readonly string[],
  { latents: file, saveLatents, saveTrajectory }: UpscaleFlags,
  { vae }: Base,
): { readonly latents?: HostArray; readonly lowResNoise?: HostArray | undefined } {
  const [flag] = Object.entries({
    '--latents': file,
    '--save-latents': saveLatents,
    '--save-trajectory': saveTrajectory,
  }).find(([, value]) => value !== undefined) ?? [undefined];
  if (flag !== undefined && pictures.length > 1)
    throw new UserError(`${flag} goes with one picture; ${pictures.length} are given`);
  if (file === undefined) return {};
  const latents = readLatents(file, vae.latentChannels);
  if (latents.shape[0] !== 1)
    throw new UserError(`${file}: latents hold ${latents.shape[0]} pictures; one is enlarged`);
  return { latents, lowResNoise: readLowResNoise(file, vae.inChannels) };
}

/** A picture as it is, f32 [1,3,h,w] in -1..1. Throws UserError naming the file where it cannot be read. */
async function lowResOf(path: string): Promise<HostArray> {
  const size = await readSize(path);
  const { data } = toPixels(await decodePicture(path, { ...size, interpolation: 'lanczos' }));
  return hostArray(data, [1, 3, size.height, size.width]) as HostArray;
}
