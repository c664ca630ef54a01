/** @file The training graph at work: feeds it step by step, and watches what comes out. */
import { findNonFinite } from '@sdft/models';
import type { Schedule } from '@sdft/optim';
import {
  type Backend,
  type Executable,
  hostArray,
  type HostArray,
  type StateValue,
  UserError,
  valueOf,
} from '@sdft/tensor';
import type { BatchSource } from '../batches/source.ts';
import type { PromptEncoder } from '../encoding/promptEncoder.ts';
import type { Base } from '../training/base.ts';
import {
  some,
  type StepShape,
  type TrainGraph,
  type TrainSettings,
} from '../training/trainGraph.ts';
import { averageState, trainableState } from '../training/update.ts';
import { gateInput, isWholeRun, isWithin, numberInput, type Phase } from '../training/phases.ts';
import type { Trainable } from '../training/trainables.ts';
import { LossScale } from './lossScale.ts';
import { type HostArrays, recordedTensors, stepInputs } from './stepInputs.ts';

/** What a step says about itself. */
export interface StepReport {
  /** Steps done, this one included. */
  readonly step: number;
  /** The mean loss of its micro-steps. */
  readonly loss: number;
  /** The loss of each micro-step, before division by their number. */
  readonly losses: readonly number[];
  /** The learning rate that it used; where there are several, that of the first trainable that it trained. */
  readonly lr: number;
  /** Global norm of the gradient before clipping. */
  readonly gradNorm: number;
  /** What came to light at this step. */
  readonly warnings: readonly string[];
  /** Wall time, from the first micro-step's inputs to the last one's result. */
  readonly seconds: number;
}

export interface TrainerParts {
  readonly base: Base;
  readonly backend: Backend;
  readonly train: TrainGraph;
  readonly shape: StepShape;
  readonly settings: TrainSettings;
  readonly trainables: readonly Trainable[];
  /** The learning rates that differ. */
  readonly rates: readonly Schedule[];
  /** The steps in which adapters are trained, where they differ. */
  readonly phases: readonly Phase[];
  readonly source: BatchSource;
  readonly promptEncoder: PromptEncoder;
  /** Gets every batch and draw. */
  readonly record?: ((k: number, tensors: HostArrays) => Promise<void>) | undefined;
}

/** After how many steps without any gradient a run is stopped. */
const PATIENCE = 5;
/** Steps within which each trained tensor is expected to get a gradient. */
const FIRST = 10;
/** The loss scale among a run's states. */
const LOSS_SCALE = 'loss scale';
/** In fewer steps some get none: a factor whose partner starts at zero, for one. */
const FEWEST = 3;

/** Names of what is trained, that which has its turn later left out. */
const trainedFromTheStart = ({ train, trainables, phases }: TrainerParts): string[] =>
  trainables.flatMap(({ name, phase }) =>
    train.trained.includes(name) && phases[phase]!.from === 0 ? [name] : [],
  );
const scalar = (value: number): HostArray => hostArray(Float32Array.of(value), []) as HostArray;

export class Trainer {
  readonly #parts: TrainerParts;
  readonly #states: readonly string[];
  /** Values for the executable that is not compiled yet. */
  #initial: Record<string, StateValue>;
  #executable: Promise<Executable> | undefined;
  #step = 0;
  #version = 0;
  #next: { readonly k: number; readonly inputs: Promise<HostArrays> } | undefined;
  #silent = 0;
  /** Trained tensors that no gradient has reached yet, and the steps that were watched. */
  readonly #unreached: Set<string>;
  #watched = 0;
  /** Where intermediates are f16. */
  #lossScale: LossScale | undefined;

  /**
   * @param initial the trainables' first values, by their names
   * @param earlier steps that were done before, and what the optimizer kept of them, by the names of its states
   */
  constructor(
    parts: TrainerParts,
    initial: ReadonlyMap<string, StateValue>,
    earlier?: { readonly step: number; readonly states: ReadonlyMap<string, HostArray> },
  ) {
    this.#parts = parts;
    this.#unreached = new Set(trainedFromTheStart(parts));
    if (parts.settings.lossScaling) this.#lossScale = new LossScale();
    this.#states = parts.train.graph.nodes.flatMap((node) =>
      node.op === 'input' && node.attrs.state ? [node.attrs.name] : [],
    );
    this.#initial = Object.fromEntries(
      [...initial].flatMap(([name, value]) => [
        [trainableState(name), value],
        ...(this.#isAveraged(name) ? [[averageState(name), value]] : []),
      ]),
    );
    for (const [name, value] of earlier?.states ?? [])
      if (this.#states.includes(name)) this.#initial[name] = value;
    this.#step = earlier?.step ?? 0;
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Changes whenever what is trained does. */
  get version(): number {
    return this.#version;
  }

  /** Compiles the training graph, if that has not been done. */
  async compile(): Promise<Executable> {
    const { backend, train, base } = this.#parts;
    this.#executable ??= backend.compile(train.graph, {
      weights: base.weights,
      state: this.#initial,
    });
    const executable = await this.#executable;
    // From now on the executable holds them.
    this.#initial = {};
    return executable;
  }

  /**
   * Does one step.
   *
   * @param factor what all learning rates are multiplied with
   * @throws UserError where the factor is negative, or loss or gradient are not finite (every state is as before), where no gradient arrives over the first steps, or where a picture cannot be read
   */
  async advance(factor = 1): Promise<StepReport> {
    if (!(factor >= 0 && Number.isFinite(factor)))
      throw new UserError(`steps: rateFactor must give a number, 0 or more, got ${factor}`);
    const { train, settings, rates, phases } = this.#parts;
    const executable = await this.compile();
    const started = performance.now();
    const { accumulate, optimizer, ema } = settings;
    const numbers: HostArrays = {};
    rates.forEach((rate, i) => {
      numbers[`lr.${i}`] = scalar(factor * rate.at(this.#step));
    });
    for (const phase of phases) {
      if (!isWholeRun(phase))
        numbers[gateInput(phase)] = scalar(isWithin(phase, this.#step) ? 1 : 0);
      for (const [name, schedule] of Object.entries(optimizer.numbers))
        numbers[numberInput(name, phase.from)] = scalar(
          // As in PyTorch, the optimizer does not count steps that it never saw.
          schedule.at(Math.max(0, this.#step - phase.from - (this.#lossScale?.skipped ?? 0))),
        );
    }

    if (train.takes.progress)
      numbers['progress'] = scalar(Math.min(1, this.#step / Math.max(1, settings.steps! - 1)));
    if (this.#lossScale) numbers['loss.scale'] = scalar(this.#lossScale.scale);
    if (ema) numbers['ema.rate'] = scalar(ema.rate.at(this.#step));
    const losses: number[] = [];
    let gradNorm = 0;
    let norms: HostArray | undefined;
    const overflows: string[] = [];
    for (let micro = 0; micro < accumulate; micro++) {
      const k = this.#step * accumulate + micro;
      const inputs = await this.#inputs(k);
      if (accumulate > 1) numbers['update'] = scalar(micro === accumulate - 1 ? 1 : 0);
      const running = executable.run({ ...inputs, ...numbers });
      this.#prepare(k + 1);
      const result = await running;
      const loss = result['loss']!.get();
      gradNorm = result['gradNorm']!.get();
      norms = result['norms'];
      if (this.#lossScale && Number.isFinite(loss) && !Number.isFinite(gradNorm)) {
        overflows.push(this.#lossScale.overflow(this.#step + 1));
        numbers['loss.scale'] = scalar(this.#lossScale.scale);
      } else if (!Number.isFinite(loss) || !Number.isFinite(gradNorm))
        throw this.#notFinite(k, loss, gradNorm);
      losses.push(loss);
    }
    if (overflows.length === 0) {
      this.#lossScale?.success();
      this.#listen(gradNorm);
    }
    this.#step++;
    this.#version++;
    return {
      step: this.#step,
      loss: losses.reduce((sum, loss) => sum + loss, 0) / accumulate,
      losses,
      lr: factor * this.#rateAt(this.#step - 1),
      gradNorm,
      warnings: overflows.length > 0 ? overflows : this.#watch(norms!),
      seconds: (performance.now() - started) / 1000,
    };
  }

  /** The rate of the last step, or of the first one where there was none. */
  get rate(): number {
    return this.#rateAt(Math.max(0, this.#step - 1));
  }

  /** The rate of the first trainable that a step trains. */
  #rateAt(step: number): number {
    const { trainables, rates, phases } = this.#parts;
    const trained = trainables.find(({ phase }) => isWithin(phases[phase]!, step));
    return rates[trained?.rate ?? 0]!.at(step);
  }

  /** The present values of the trainables, by their names; where running averages are kept and not declined, those. They may lie in the executable: they hold until the next step. */
  async trainables({
    ema = true,
  }: {
    readonly ema?: boolean;
  } = {}): Promise<Map<string, StateValue>> {
    const executable = await this.#executable;
    const values = new Map<string, StateValue>();
    for (const { name } of this.#parts.trainables) {
      const state = ema && this.#isAveraged(name) ? averageState(name) : trainableState(name);
      values.set(name, executable ? await executable.view(state) : this.#initial[state]!);
    }
    return values;
  }

  /** Everything that resuming needs, by the names of the states, in the same way. */
  async states(): Promise<Map<string, HostArray>> {
    const executable = await this.compile();
    const values = new Map<string, HostArray>();
    for (const name of this.#states) values.set(name, await executable.view(name));
    if (this.#lossScale) values.set(LOSS_SCALE, this.#lossScale.save());
    return values;
  }

  /** Goes on from states that `states` gave after `step` steps. Throws UserError where they are not this run's. */
  async restore(
    step: number,
    saved: ReadonlyMap<string, StateValue>,
    where: string,
  ): Promise<void> {
    // Whether it is there says what the run was computed in, which may change from one part of it to the next.
    const states = new Map(saved);
    const lossScale = states.get(LOSS_SCALE);
    states.delete(LOSS_SCALE);
    const missing = this.#states.filter((name) => !states.has(name));
    const unknown = [...states.keys()].filter((name) => !this.#states.includes(name));
    if (missing.length > 0 || unknown.length > 0)
      throw new UserError(
        `${where}: was saved by a run with other trainables, another optimizer or other averages (${missing.length > 0 ? `missing here: ${some(missing)}` : `unknown: ${some(unknown)}`}); resume with the recipe that lies beside it`,
      );
    const executable = await this.#executable;
    if (executable)
      for (const [name, value] of states) await executable.write(name, valueOf(value));
    else this.#initial = Object.fromEntries(states);
    if (this.#lossScale && lossScale) this.#lossScale = LossScale.from(valueOf(lossScale));
    this.#step = step;
    this.#version++;
    this.#next = undefined;
  }

  #isAveraged(name: string): boolean {
    const { settings, train } = this.#parts;
    return settings.ema !== undefined && train.trained.includes(name);
  }

  async dispose(): Promise<void> {
    await this.#next?.inputs.catch(() => undefined);
    const executable = await this.#executable?.catch(() => undefined);
    await executable?.dispose();
    this.#executable = undefined;
  }

  /** Starts on the inputs of a micro-step, so that they are there when the present one is done. */
  #prepare(k: number): void {
    const { source } = this.#parts;
    if (source.microSteps !== undefined && k >= source.microSteps) return;
    const inputs = this.#make(k);
    // An error belongs to whoever asks for that micro-step; until then nobody listens.
    inputs.catch(() => undefined);
    this.#next = { k, inputs };
  }

  async #inputs(k: number): Promise<HostArrays> {
    const { source, record, train } = this.#parts;
    const inputs = this.#next?.k === k ? this.#next.inputs : this.#make(k);
    this.#next = undefined;
    const ready = await inputs;
    if (record) await record(k, await recordedTensors(source, await source.batch(k), k, train));
    return ready;
  }

  async #make(k: number): Promise<HostArrays> {
    const { source, shape, train, promptEncoder } = this.#parts;
    if (source.microSteps !== undefined && k >= source.microSteps)
      throw new UserError(
        `the record holds ${source.microSteps} micro-steps, and micro-step ${k + 1} was asked for; take fewer steps`,
      );
    return stepInputs(source, await source.batch(k), k, shape, train, promptEncoder);
  }

  #notFinite(k: number, loss: number, gradNorm: number): UserError {
    const what = Number.isFinite(loss) ? `the gradient is ${gradNorm}` : `the loss is ${loss}`;
    const [broken] = this.#step === 0 ? findNonFinite(this.#parts.base.weights) : [];
    const why = broken
      ? `The base holds ${broken.count} numbers in ${broken.name} that are not finite: get it again, or use another`
      : 'Lower the learning rate, or clip the gradient';
    return new UserError(
      `step ${this.#step + 1} (micro-step ${k}): ${what}. What was trained is as after step ${this.#step}, unharmed. ${why}`,
    );
  }

  /** After the first steps, says which tensors no gradient has reached in them. */
  #watch(norms: HostArray): string[] {
    const { trained } = this.#parts.train;
    const first = Math.min(FIRST, this.#parts.settings.steps ?? FIRST);
    // A run that goes on from elsewhere has had its first steps.
    if (first < FEWEST || this.#watched >= first || this.#watched !== this.#step - 1) return [];
    trained.forEach((name, i) => {
      if (norms.data[i] !== 0) this.#unreached.delete(name);
    });
    this.#watched++;
    if (this.#watched < first || this.#unreached.size === 0) return [];
    return [
      `no gradient reached ${this.#unreached.size} of ${trained.length} trained tensors in the first ${first} steps: ${some([...this.#unreached])}`,
    ];
  }

  /** Stops a run that trains nothing. */
  #listen(gradNorm: number): void {
    const { train } = this.#parts;
    this.#silent = gradNorm === 0 && this.#silent === this.#step ? this.#silent + 1 : -1;
    if (this.#silent === PATIENCE)
      throw new UserError(
        `no gradient reached ${some(train.trained)} in the first ${PATIENCE} steps: nothing is learned. If a new word is trained, see that captions or templates contain it; otherwise see what the adapter's wrap does with its trainables`,
      );
  }
}
