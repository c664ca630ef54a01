/** @file From the parts of a run to the run: everything is checked, nothing is computed. */
import { type ImageSet, loader, type Provides } from '@sdft/data';
import { clipTextLayers, scalingOf, unetLayers, vaeLayers } from '@sdft/models';
import { learningRate } from '@sdft/optim';
import { type Backend, draws, nullBackend, UserError } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { dataSource } from '../batches/dataSource.ts';
import type { BatchSource } from '../batches/source.ts';
import type { Adapter, NewToken } from '../contracts.ts';
import { AdaptedNetworks } from '../encoding/adaptedNetworks.ts';
import { Executables } from '../encoding/executables.ts';
import { encodeTextGraph, nothing } from '../encoding/graphs.ts';
import { PictureEncoder } from '../encoding/pictureEncoder.ts';
import { PromptEncoder } from '../encoding/promptEncoder.ts';
import { promptsOf } from '../encoding/prompts.ts';
import { Generator } from '../generation/generator.ts';
import type { Composition, ResolvedRecipe } from '../recipe/composition.ts';
import { Problems } from '../recipe/problems.ts';
import type { Recipe } from '../recipe/schema.ts';
import { planOf } from '../run/planOf.ts';
import type { Run } from '../run/run.ts';
import { Trainer } from '../run/trainer.ts';
import { type Base, latentSizeProblem } from '../training/base.ts';
import { lengthOf, within } from '../training/phases.ts';
import { attach, type Attached } from '../training/trainables.ts';
import { type StepShape, trainGraph } from '../training/trainGraph.ts';
import { defaultDraws, Validator } from '../validation/validator.ts';
import { earlierSteps, initialValues } from './initialValues.ts';
import { nameOf, wordsOf } from './learned.ts';
import { openBaseOf } from './openBase.ts';
import { openData } from './openData.ts';
import { openValidation, refuseUnmoved } from './openValidation.ts';
import { splitExtension, under } from './paths.ts';
import { openPreviews } from './previews.ts';
import { recordFile } from './recordFile.ts';
import { replaySource } from './replaySource.ts';
import { checkRoom, isHeld, largestBeside } from './room.ts';
import { RunFolder } from './runFolder.ts';
import { trainableFile } from './trainableFile.ts';
import { TrainingRun } from './trainingRun.ts';

/** What a recipe does not say: the machine, and what is kept of the run. */
export interface RunOptions {
  /** Default: `cpu()`. */
  readonly backend?: Backend | undefined;
  /** Pictures that are open already, in place of the folder that the recipe's `data` names. Its settings of captions and mirroring are those of the set. */
  readonly images?: ImageSet | ImageSet<Provides> | undefined;
  /** Train on the batches and draws of this record instead of data. */
  readonly replay?: string | undefined;
  /** Write every batch and draw to this file. */
  readonly record?: string | undefined;
  /** Folder of the run; by default it leaves nothing but what `save` writes. */
  readonly logDir?: string | undefined;
  /** Take over `logDir` where a run lives already, to resume it. */
  readonly resume?: boolean | undefined;
  /** Overwrite the record. */
  readonly force?: boolean | undefined;
  /** The folder that relative paths of the recipe start from. Default: the working directory. */
  readonly relativeTo?: string | undefined;
  /** Class pictures that are to be drawn are taken to be there: everything else is checked and planned, but the run takes no steps. Default false. */
  readonly rehearse?: boolean | undefined;
  /** Bytes of encoded pictures that are kept. Default 512 MiB. */
  readonly latentBytes?: number | undefined;
  /** Pictures that the VAE encodes at a time: more are faster on a GPU, and may differ in the last bits from what each alone would give. Default 1. */
  readonly encodeBatch?: number | undefined;
  /** Bytes that compiled networks beside the training step may take, weights aside. Default 1 GiB. */
  readonly executableBytes?: number | undefined;
}

/** Throws UserError with every problem at once. */
export async function assembleRun(
  composition: Composition,
  options: RunOptions = {},
): Promise<Run> {
  const { adapters, objective, optimizer } = composition;
  let { recipe } = composition;
  const { backend = cpu(), relativeTo = '' } = options;
  const problems = new Problems();

  const folder = options.logDir === undefined ? undefined : new RunFolder(options.logDir);
  if (folder && !options.resume) await problems.gather(() => folder.refuseAnother());
  if (!folder && (recipe.preview?.every !== undefined || recipe.save?.every !== undefined))
    problems.add('save.every and preview.every need a folder for the run: give it a logDir');
  await problems.gather(() => checkEnding(recipe.save?.out, adapters));
  if (!recipe.data && !options.images && options.replay === undefined)
    problems.add('there are no pictures: say data: { images: FOLDER }, or replay a record');
  const base = await problems.gather(() => openBaseOf(recipe, relativeTo));
  const words = wordsOf(adapters);
  const opened =
    options.replay === undefined
      ? await problems.gather(() => dataOf(recipe, base, words, options))
      : undefined;
  const set = opened?.set;
  recipe = opened?.recipe ?? recipe;
  const previews =
    base && (await problems.gather(() => openPreviews(base, recipe, { set, relativeTo })));
  const attached =
    base &&
    (await problems.gather(() =>
      attach(adapters, [
        ...unetLayers(base.unet),
        ...clipTextLayers(base.textEncoder),
        ...vaeLayers(base.vae),
      ]),
    ));
  const prompts = base && (await problems.gather(() => promptsOf(base, words, recipe)));
  if (attached && recipe.validation) await problems.gather(() => refuseUnmoved(attached));
  const { validation } = recipe;
  const heldOut =
    base &&
    validation &&
    (await problems.gather(() =>
      openValidation(validation, base, { relativeTo, data: recipe.data, size: set }),
    ));
  problems.throw();

  const executables = new Executables(backend, options.executableBytes ?? 2 ** 30);
  const networks = new AdaptedNetworks(base!, executables, { adapters, attached: attached! });
  const generator = new Generator(networks, recipe);
  await problems.gather(() => previews?.check(generator));
  const validator =
    heldOut &&
    (await problems.gather(
      () =>
        new Validator({
          networks,
          set: heldOut,
          prompts: prompts!,
          name: nameOf(words),
          draws: validation!.draws ?? defaultDraws,
          clipSkip: recipe.clipSkip,
          emphasis: recipe.emphasis,
        }),
    ));
  const encoder = new PictureEncoder(base!, executables, {
    budget: options.latentBytes ?? 2 ** 29,
    batch: options.encodeBatch ?? 1,
  });
  const source = await problems.gather(() =>
    options.replay !== undefined
      ? replaySource(under(relativeTo, options.replay), base!, encoder, {
          withClass: objective.needs === 'class' || recipe.data?.classImages !== undefined,
        })
      : dataSource({
          base: base!,
          set: set!,
          missing: opened!.missing,
          loader: loaderOf(recipe, set!, words),
          batch: recipe.batch,
          encoder,
          prompts: prompts!,
          name: nameOf(words),
          draws: draws(recipe.seed),
          sampling: recipe.latentSampling,
        }),
  );
  if (source) recipe = fitted(composition.given, recipe, source, problems);
  const rates = await problems.gather(() =>
    attached!.rates.map(({ lr = optimizer.lr, factor, phase }) =>
      within(
        phase,
        factor,
        learningRate({ ...recipe.schedule, lr, steps: lengthOf(phase, recipe.steps) }),
      ),
    ),
  );
  const settings = {
    adapters,
    objective,
    optimizer,
    ema: composition.ema,
    accumulate: recipe.accumulate,
    clipSkip: recipe.clipSkip,
    recompute: recipe.recompute,
    steps: recipe.steps,
    lossScaling: backend.precision === 'f16',
  };
  const shape = source && (await problems.gather(() => stepShape(source, attached!, recipe)));
  const train =
    shape && (await problems.gather(() => trainGraph(base!, attached!, settings, shape)));
  // What only plans, plans for the processor.
  const planner = backend.name === 'null' ? cpu() : backend;
  const memory =
    train && (planner.plan?.(train.graph) ?? (await nullBackend.compile(train.graph)).memory);
  const room =
    memory && (await problems.gather(() => isHeld(backend)))
      ? await problems.gather(async () => ({
          warning: checkRoom(
            memory,
            recipe,
            await largestBeside([
              ...(validator
                ? [{ purpose: 'the validation loss', memory: () => validator.memory() }]
                : []),
              ...(previews
                ? [{ purpose: 'previews', memory: () => previews.memory(generator) }]
                : []),
              ...(source?.pictures === 'moments' && train?.takes.latents
                ? [{ purpose: 'encoding pictures', memory: () => encoder.memory(source.pixels!) }]
                : []),
            ]),
          ),
        }))
      : { warning: undefined };
  // They take memory, too.
  const initial =
    room && (await problems.gather(() => initialValues(composition, base!, attached!, relativeTo)));
  const earlier =
    initial && (await problems.gather(() => earlierSteps(composition, attached!, relativeTo)));
  if (train && source) await problems.gather(() => source.check(train.draws));
  // Frozen text is encoded by a graph of its own, later; whether it can be, is found out now.
  if (shape?.text === 'context' && source?.prompts.ids)
    await problems.gather(() => encodeTextGraph(base!, source.tokens, recipe.clipSkip, nothing));
  problems.throw();

  const record =
    options.record === undefined ? undefined : recordFile(options.record, { force: options.force });
  const trainer = new Trainer(
    {
      base: base!,
      backend,
      train: train!,
      shape: shape!,
      settings,
      trainables: attached!.trainables,
      rates: rates!,
      phases: attached!.phases,
      source: source!,
      promptEncoder: new PromptEncoder(base!, recipe, executables),
      record: record && ((k, tensors) => record.add(k, tensors)),
    },
    initial!,
    earlier,
  );
  const plan = planOf({
    recipe,
    base: base!,
    adapters,
    attached: attached!,
    train: train!,
    memory: memory!,
    warnings: [room!.warning ?? []].flat(),
    source: source!,
    ends: rates!.flatMap(({ end }) => (end === undefined ? [] : [end])),
    picture: set,
    validator,
  });
  return new TrainingRun({
    recipe,
    base: base!,
    plan,
    adapters,
    trainables: attached!.trainables,
    optimizer,
    trainer,
    generator,
    previews,
    validator,
    executables,
    folder,
    record,
    relativeTo,
  });
}

/** The pictures: those that are open, or else those that the recipe names. */
async function dataOf(
  recipe: ResolvedRecipe,
  base: Base | undefined,
  words: readonly NewToken[],
  { images, relativeTo = '', rehearse = false }: RunOptions,
): Promise<Awaited<ReturnType<typeof openData>> | undefined> {
  if (!images)
    return recipe.data ? openData(recipe, base, words, { relativeTo, rehearse }) : undefined;
  const problem = base && latentSizeProblem(base, images);
  if (problem !== undefined)
    throw new UserError(`pictures of ${images.width} x ${images.height} pixels: ${problem}`);
  const data = images.spec as NonNullable<Recipe['data']>;
  // Data without class images is data that may have some.
  const set = images as ImageSet<Provides>;
  return { set, recipe: { ...recipe, data }, missing: undefined };
}

/** Throws UserError where an adapter cannot write such a file. */
function checkEnding(out: string | undefined, adapters: readonly Adapter[]): void {
  if (out === undefined) return;
  const isFolder = splitExtension(out)[1] === '';
  for (const { name, files = trainableFile } of adapters)
    if (
      !files.endings.some((ending) =>
        ending === '' ? isFolder : out.toLowerCase().endsWith(ending),
      )
    ) {
      const endings = files.endings.filter((ending) => ending !== '').join(', ');
      const folder = files.endings.includes('') ? ', or to a folder, whose name has no ending' : '';
      throw new UserError(
        `save.out ${out}: what ${name} learns is written to files that end in ${endings}${folder}`,
      );
    }
}

/** A replayed run is as long as its record, unless it says otherwise, and has its batches. */
function fitted(
  given: Recipe,
  recipe: ResolvedRecipe,
  { microSteps, instances }: BatchSource,
  problems: Problems,
): ResolvedRecipe {
  if (microSteps === undefined) return recipe;
  const { accumulate } = recipe;
  const most = Math.floor(microSteps / accumulate);
  if (most === 0 || (given.steps !== undefined && given.steps > most))
    problems.add(
      `${given.steps ?? 1} steps of ${accumulate} micro-step${accumulate === 1 ? '' : 's'} are asked for; the record holds ${microSteps} micro-steps`,
    );
  return { ...recipe, batch: instances, steps: given.steps ?? most };
}

function loaderOf(recipe: ResolvedRecipe, set: ImageSet<Provides>, words: readonly NewToken[]) {
  const own = draws(recipe.seed);
  return loader(set, {
    batch: recipe.batch,
    name: nameOf(words),
    prefetch: false,
    // Their own names, so that no draw of an objective is one of these.
    draws: {
      uniform: (name, count, step) => own.uniform(`data.${name}`, step, [count]).data,
      integers: (name, count, below, step) =>
        own.integers(`data.${name}`, step, [count], below).data,
    },
  });
}

function stepShape(source: BatchSource, attached: Attached, recipe: ResolvedRecipe): StepShape {
  if (attached.text && !source.prompts.ids)
    throw new UserError(
      'the record holds text states (context) but no input_ids, and a part of the text side is trained: record it with ids',
    );
  return {
    batch: source.size,
    instances: source.instances,
    latents: source.latents,
    pixels: source.pixels,
    tokens: source.tokens,
    pictures: source.pictures,
    text: attached.text ? 'ids' : 'context',
    emphasis: attached.text && source.emphasis ? scalingOf(recipe.emphasis) : undefined,
    weight: source.weight,
  };
}
