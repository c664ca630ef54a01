/** @file The run, with its files. */
import { writePng } from '@sdft/data/node';
import type { Optimizer } from '@sdft/optim';
import { hostArray, type HostArray, type StateValue, UserError, valueOf } from '@sdft/tensor';
import type { Adapter, AdapterState, Parameters } from '../contracts.ts';
import type { Executables } from '../encoding/executables.ts';
import type { Generated, Generator } from '../generation/generator.ts';
import type { GenerateOptions } from '../generation/settings.ts';
import type { ResolvedRecipe } from '../recipe/composition.ts';
import { recipeYaml } from '../recipe/write.ts';
import { momentsAmong } from '../run/moments.ts';
import {
  metricLines,
  type Picture,
  type Plan,
  type Report,
  type Run,
  validationLine,
} from '../run/run.ts';
import { Standing } from '../run/standing.ts';
import type { Trainer } from '../run/trainer.ts';
import type { Base } from '../training/base.ts';
import type { Validator } from '../validation/validator.ts';
import { adapterNames, type Trainable } from '../training/trainables.ts';
import { baseHash } from './baseHash.ts';
import { peakMemory, sized, version } from './summary.ts';
import type { Record as RecordFile } from './recordFile.ts';
import { withAbsolutePaths, withName } from './paths.ts';
import type { Previews } from './previews.ts';
import { RunFolder } from './runFolder.ts';
import { trainableFile } from './trainableFile.ts';

export interface RunParts {
  readonly recipe: ResolvedRecipe;
  readonly base: Base;
  readonly plan: Plan;
  readonly adapters: readonly Adapter[];
  readonly trainables: readonly Trainable[];
  readonly optimizer: Optimizer;
  readonly trainer: Trainer;
  readonly generator: Generator;
  readonly previews: Previews | undefined;
  readonly validator: Validator | undefined;
  readonly executables: Executables;
  readonly folder: RunFolder | undefined;
  readonly record: RecordFile | undefined;
  /** The folder that relative paths of the recipe start from. */
  readonly relativeTo: string;
}

export class TrainingRun implements Run {
  readonly recipe: ResolvedRecipe;
  readonly base: Base;
  readonly plan: Plan;
  readonly #parts: RunParts;
  /** What is saved or drawn lies where the next step would write. */
  readonly #standing = new Standing();
  #stepping = false;
  #begun = false;
  /** Wall time of the steps so far, those before a resume included. */
  #elapsed = 0;
  /** The step after which the validation loss was measured last. */
  #validated: number | undefined;

  constructor(parts: RunParts) {
    this.recipe = parts.recipe;
    this.base = parts.base;
    this.plan = parts.plan;
    this.#parts = parts;
  }

  get step(): number {
    return this.#parts.trainer.step;
  }

  get folder(): string | undefined {
    return this.#parts.folder?.path;
  }

  async *steps(
    count?: number,
    {
      signal,
      rateFactor,
    }: {
      readonly signal?: AbortSignal | undefined;
      readonly rateFactor?: (() => number) | undefined;
    } = {},
  ): AsyncGenerator<Report, void, undefined> {
    const { trainer, record, folder } = this.#parts;
    const last = this.#lastStep(count);
    const total = this.recipe.steps === undefined ? last : this.#lastStep(undefined);
    const missing = this.plan.data?.missing ?? 0;
    if (missing > 0)
      throw new UserError(
        `this run is a rehearsal: ${missing} class images are missing. Draw them with makeClassImages(recipe), then build it again`,
      );
    if (this.#stepping)
      throw new UserError('this run is stepping already; finish one loop before the next');
    this.#stepping = true;
    try {
      while (trainer.step < last && !signal?.aborted) {
        await this.#begin();
        const before = await this.#validate(total, signal);
        if (signal?.aborted) return;
        const report = await this.#standing.move(() => trainer.advance(rateFactor?.()));
        this.#elapsed += report.seconds;
        const stepped = {
          ...report,
          elapsed: this.#elapsed,
          ...(before !== undefined && { validationLossBefore: before }),
          written: [],
        };
        await folder?.addMetrics(metricLines(stepped));
        const after = await this.#validate(total, signal);
        if (after !== undefined)
          await folder?.addMetrics([validationLine(report.step, after, this.#elapsed)]);
        yield {
          ...stepped,
          ...(after !== undefined && { validationLoss: after }),
          written: await this.#written(),
        };
      }
    } finally {
      this.#stepping = false;
      await record?.write();
    }
  }

  async save(
    path = this.recipe.save?.out,
    { force = false }: { readonly force?: boolean | undefined } = {},
  ): Promise<string[]> {
    if (path === undefined)
      throw new UserError('save: name the file to write, such as boy.safetensors');
    const paths = await this.#save(path, force);
    // A run that took no step leaves no folder.
    if (this.#begun) await this.#summarize(paths);
    return paths;
  }

  async #save(path: string, force: boolean): Promise<string[]> {
    const { adapters, trainables, trainer } = this.#parts;
    const names = adapterNames(adapters);
    const paths = adapters.map((_, i) =>
      adapters.length === 1 ? path : withName(path, names[i]!),
    );
    await this.#standing.still(async () => {
      const states = statesOf(adapters.length, trainables, await trainer.trainables());
      for (const [i, adapter] of adapters.entries())
        await (adapter.files ?? trainableFile).save(states[i]!, paths[i]!, {
          step: this.step,
          base: this.recipe.base,
          model: this.base,
          recipe: this.recipe,
          moments: () => this.#moments(i),
          force,
        });
    });
    return paths;
  }

  async generate(prompt: string, options: GenerateOptions = {}): Promise<Picture[]> {
    const generated = await this.generateWithLatents(prompt, options);
    return generated.map(({ picture }) =>
      Object.assign(picture, {
        save: (path: string, save: { readonly force?: boolean } = {}) =>
          writePng(path, picture, save),
      }),
    );
  }

  async generateWithLatents(prompt: string, options: GenerateOptions = {}): Promise<Generated[]> {
    const { generator, trainer } = this.#parts;
    return this.#standing.still(async () =>
      generator.generate(
        prompt,
        { version: trainer.version, values: await trainer.trainables() },
        options,
      ),
    );
  }

  async trainables(options?: { readonly ema?: boolean }): Promise<readonly AdapterState[]> {
    const { adapters, trainables, trainer } = this.#parts;
    return this.#standing.still(async () => {
      const values = await trainer.trainables(options);
      const copies = new Map([...values].map(([name, value]) => [name, copyOf(valueOf(value))]));
      return statesOf(adapters.length, trainables, copies);
    });
  }

  async saveState(): Promise<string> {
    const { folder, trainer } = this.#parts;
    if (!folder)
      throw new UserError('this run has no folder to save its state in; build it with a logDir');
    await this.#begin();
    return this.#standing.still(async () => folder.saveState(trainer.step, await trainer.states()));
  }

  async resume(folder = this.folder): Promise<number> {
    if (folder === undefined) throw new UserError('resume: name the folder of the earlier run');
    const from = new RunFolder(folder);
    const newest = await from.newestState();
    if (newest)
      await this.#standing.move(() =>
        this.#parts.trainer.restore(newest.step, from.readState(newest), newest.path),
      );
    const { seconds, validated } = await from.soFar(newest?.step ?? 0);
    this.#elapsed = newest ? seconds : 0;
    this.#validated = undefined;
    const own = this.#parts.folder;
    if (own && own.path === from.path) {
      await own.cutMetrics(newest?.step ?? 0);
      this.#begun = newest !== undefined;
      this.#validated = validated;
    }
    return newest?.step ?? 0;
  }

  async dispose(): Promise<void> {
    const { trainer, executables, record } = this.#parts;
    await trainer.dispose();
    await executables.dispose();
    record?.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  /** The step to stop at. */
  #lastStep(count: number | undefined): number {
    const { most } = this.plan;
    const wanted =
      count === undefined ? this.recipe.steps : this.step + (Number.isInteger(count) ? count : -1);
    if (wanted === undefined)
      throw new UserError('steps: say how many, here or in the recipe (steps: 2000)');
    if (count !== undefined && (!Number.isInteger(count) || count < 0))
      throw new UserError(`steps: must be a whole number, 0 or more, got ${count}`);
    return most === undefined ? wanted : Math.min(wanted, most);
  }

  /** What is done once, before the first step: files appear only where there is work. */
  async #begin(): Promise<void> {
    if (this.#begun) return;
    this.#begun = true;
    await this.#parts.folder?.begin(
      recipeYaml(withAbsolutePaths(this.recipe, this.#parts.relativeTo)),
    );
  }

  /**
   * The validation loss of what has been trained so far, where it is due and not known yet; undefined, too, where `signal` ended it. The last one, after step `total`, is not ended, as
   * nothing would make up for it.
   *
   * @throws UserError where it is not finite
   */
  async #validate(total: number, signal: AbortSignal | undefined): Promise<number | undefined> {
    const { validator, trainer } = this.#parts;
    const { step } = trainer;
    const every = this.recipe.validation?.every;
    const due =
      this.#validated === undefined || step >= total || (every !== undefined && step % every === 0);
    if (!validator || !due || this.#validated === step) return undefined;
    // From now on values are read where they lie; before, each would be read from its file.
    await trainer.compile();
    const loss = await this.#standing.still(async () =>
      validator.loss(
        { version: trainer.version, values: await trainer.trainables() },
        { signal: step < total ? signal : undefined },
      ),
    );
    if (loss === undefined) return undefined;
    if (!Number.isFinite(loss))
      throw new UserError(
        `the validation loss after step ${step} is ${loss}. ${step === 0 ? 'The base or a file of first values is broken: get it again, or use another' : 'Lower the learning rate, or clip the gradient'}`,
      );
    this.#validated = step;
    return loss;
  }

  /** Says in the run's folder what it came to. */
  async #summarize(paths: readonly string[]): Promise<void> {
    const { folder, adapters } = this.#parts;
    const { base, method } = withAbsolutePaths(this.recipe, this.#parts.relativeTo);
    await folder?.writeSummary({
      base: { name: base, hash: await baseHash(this.base) },
      method: method ?? adapterNames(adapters).join(', '),
      parameters: this.plan.parameters,
      steps: this.step,
      seconds: Math.round(1000 * this.#elapsed) / 1000,
      peakMemory: peakMemory(),
      files: await sized(paths, folder.path),
      version: version(),
    });
  }

  /** Writes what is due after a step. */
  async #written(): Promise<string[]> {
    const { folder, previews } = this.#parts;
    const { save = {}, preview } = this.recipe;
    const due = (every: number | undefined) => every !== undefined && this.step % every === 0;
    const written: string[] = [];
    if (folder && due(save.every)) {
      written.push(await this.saveState());
      if (save.out !== undefined)
        written.push(...(await this.#save(folder.output(save.out, this.step), true)));
    }
    if (folder && previews && due(preview?.every))
      for (const [i, prompt] of previews.prompts.entries()) {
        const drawn = await previews.draw(prompt, (...asked) => this.generate(...asked));
        const path = folder.preview(this.step, i);
        await writePng(path, drawn, { force: true });
        written.push(path);
      }
    return written;
  }

  /** What the optimizer keeps of an adapter. */
  async #moments(adapter: number) {
    const { trainer, optimizer, trainables } = this.#parts;
    const own = trainables.filter((trainable) => trainable.adapter === adapter);
    const moments = momentsAmong(await trainer.states(), this.step, optimizer, own);
    return moments && { ...moments, lr: trainer.rate };
  }
}

const copyOf = ({ data, shape }: HostArray): HostArray =>
  hostArray(data.slice(), shape) as HostArray;

/** Values by full name, sorted into each adapter's own state. */
export function statesOf(
  adapters: number,
  trainables: readonly Trainable[],
  values: ReadonlyMap<string, StateValue>,
): AdapterState[] {
  const states = Array.from({ length: adapters }, () => new Map<string, Parameters<HostArray>>());
  for (const { name, adapter, key, parameter } of trainables) {
    const state = states[adapter]!;
    state.set(key, { ...state.get(key), [parameter]: valueOf(values.get(name)!) });
  }
  return states;
}
