import type { MemoryPlan } from '@sdft/tensor';
import type { BatchSource } from '../batches/source.ts';
import type { Adapter } from '../contracts.ts';
import type { ResolvedRecipe } from '../recipe/composition.ts';
import type { Base } from '../training/base.ts';
import { some, type TrainGraph } from '../training/trainGraph.ts';
import type { Attached } from '../training/trainables.ts';
import type { Validator } from '../validation/validator.ts';
import type { Plan } from './run.ts';

/** What a run is going to do. Nothing is computed: the graph is planned. */
export function planOf(parts: {
  readonly recipe: ResolvedRecipe;
  readonly base: Base;
  readonly adapters: readonly Adapter[];
  readonly attached: Attached;
  readonly train: TrainGraph;
  readonly memory: MemoryPlan;
  /** What is known already. */
  readonly warnings: readonly string[];
  readonly source: BatchSource;
  readonly ends: readonly number[];
  readonly picture: { readonly width: number; readonly height: number } | undefined;
  readonly validator: Validator | undefined;
}): Plan {
  const { recipe, base, adapters, attached, train, memory, source, ends, picture, validator } =
    parts;
  const shapes = new Map(attached.trainables.map(({ name, initial }) => [name, initial.shape]));
  const trained = new Map(train.trained.map((name) => [name, shapes.get(name)!]));
  const silent = [...shapes.keys()].filter((name) => !trained.has(name));
  const limits =
    source.microSteps === undefined
      ? ends
      : [...ends, Math.floor(source.microSteps / recipe.accumulate)];
  const most = limits.length === 0 ? undefined : Math.min(...limits);
  const warnings = [...parts.warnings, ...source.warnings, ...(validator?.warnings ?? [])];
  const { rescaleBetasZeroSnr, predictionType } = base.schedule.config;
  if (rescaleBetasZeroSnr && predictionType === 'epsilon')
    warnings.push(
      `${base.name} predicts noise, and its noise schedule ends in pure noise, where that says nothing about the picture: it is meant for bases that predict v (predictionType: v)`,
    );
  const out = recipe.save?.out;
  // Where there are several, their names are part of their files'.
  const [only, another] = adapters;
  const hint = out === undefined || another ? undefined : only?.files?.warning?.(out, base);
  if (hint !== undefined) warnings.push(hint);
  if (silent.length > 0)
    warnings.push(
      `no gradient reaches ${silent.length} of ${shapes.size} trainables, which keep their first values: ${some(silent)}`,
    );
  if (most !== undefined && recipe.steps !== undefined && recipe.steps > most)
    warnings.push(
      `the run ends after ${most} of ${recipe.steps} steps: there the learning rates run out`,
    );
  return {
    parameters: [...trained.values()].reduce(
      (sum, shape) => sum + shape.reduce((n, d) => n * d, 1),
      0,
    ),
    trained,
    memory,
    batch: source.size,
    data: source.counts,
    size: picture && { width: picture.width, height: picture.height },
    validation: validator && {
      pictures: validator.pictures,
      timesteps: validator.timesteps.length,
    },
    most,
    notes: base.notes,
    warnings,
  };
}
