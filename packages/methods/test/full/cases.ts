/** @file Runs of diffusers' and kohya's code (tools/full/make_trajectories.py), trained again. */
import { join } from 'node:path';
import { readFloat32 } from '@sdft/models';
import { openSafetensors, writeSafetensors } from '@sdft/models/node';
import type { EmaOptions, ScheduleOptions } from '@sdft/optim';
import { expect } from 'vitest';
import {
  adamw,
  type AdapterState,
  type Backend,
  fullFineTune,
  type FullFineTuneOptions,
  openBase,
  pipeline,
  type Pipeline,
} from '../../src/index.ts';
import { goldens, json, pathOf, reports, temporaryFolder } from '../support/fixtures.ts';

interface Settings extends FullFineTuneOptions {
  readonly clip?: number;
  readonly accumulate?: number;
  readonly schedule?: ScheduleOptions;
  readonly ema?: EmaOptions;
  readonly zeroTerminalSnr?: boolean;
}

export interface Case {
  readonly base: 'tiny-sd' | 'sd2-base';
  readonly predictionType: 'epsilon' | 'v';
  readonly steps: number;
  readonly lr: number;
  readonly weightDecay: number;
  readonly settings: Settings;
  readonly microSteps: readonly { readonly loss: number }[];
  readonly optimizerSteps: readonly { readonly lr: number; readonly gradNorm: number }[];
  readonly noise: {
    readonly ill_conditioned: readonly string[];
    readonly suggested_tolerance: Readonly<Record<'update' | 'loss' | 'norm', number>>;
  };
}

export const fixture = (name: string): string => pathOf(`fixtures/full/${name}`);
export const caseNamed = (name: string): Case => json<Case>(fixture(`${name}.json`));
export const baseOf = ({ base }: Case): string =>
  base === 'tiny-sd' ? goldens('tiny-sd') : pathOf('fixtures/replay/sd2-base');

/** A case as a recipe. */
export function recipeOf(one: Case): Pipeline {
  const { clip = 0, accumulate = 1, schedule = {}, ema, zeroTerminalSnr, ...method } = one.settings;
  const recipe = pipeline()
    .model(baseOf(one))
    .with({
      predictionType: one.predictionType,
      ...(zeroTerminalSnr !== undefined && { zeroTerminalSnr }),
    })
    .method(fullFineTune(method))
    .optimizer(adamw({ lr: one.lr, weightDecay: one.weightDecay }))
    .schedule(schedule)
    .accumulate(accumulate)
    .clip(clip)
    .steps(one.steps);
  return ema ? recipe.ema(ema) : recipe;
}

const folder = temporaryFolder();

/** The draws of its base that a case asks for, as a record: one with others is refused. */
export async function recordOf(name: string, { base, settings }: Case): Promise<string> {
  const wanted = [
    ...['latents', 'input_ids', 'noise', 'timesteps'],
    ...(settings.noiseOffset === undefined ? [] : ['offset_noise']),
    ...(settings.inputPerturbation === undefined ? [] : ['perturbation']),
    ...(settings.multiresNoiseIterations === undefined
      ? []
      : ['multires_scale', 'multires_noise.0', 'multires_noise.1', 'multires_noise.2']),
  ];
  const { tensors } = openSafetensors(fixture(`${base}.safetensors`));
  const path = join(folder, `${name}.safetensors`);
  await writeSafetensors(
    path,
    new Map([...tensors].filter(([key]) => wanted.includes(key.replace(/^\d+\./, '')))),
    { force: true },
  );
  return path;
}

/** What is kept of each tensor: the norm of its movement, and its first four numbers. */
const KEPT = 5;

/** Trains a case; every loss, rate and norm, and what is kept of every tensor, must be those of the reference programs. */
export async function expectTrajectory(name: string, backend: Backend): Promise<void> {
  const one = caseNamed(name);
  const { microSteps, optimizerSteps, noise } = one;
  const { update, loss: ofLoss, norm: ofNorm } = noise.suggested_tolerance;
  await using run = await recipeOf(one).build({ replay: await recordOf(name, one), backend });
  const all = await reports(run);
  expect(all.map(({ step }) => step)).toEqual(optimizerSteps.map((_, i) => i + 1));
  const losses = all.flatMap((report) => report.losses);
  expect(losses).toHaveLength(microSteps.length);
  microSteps.forEach(({ loss }, k) =>
    expect(Math.abs(losses[k]! / loss - 1), `loss of micro-step ${k}`).toBeLessThan(ofLoss),
  );
  optimizerSteps.forEach(({ lr, gradNorm }, i) => {
    expect(all[i]!.lr, `rate of step ${i + 1}`).toBeCloseTo(lr, 12);
    expect(Math.abs(all[i]!.gradNorm / gradNorm - 1), `norm of step ${i + 1}`).toBeLessThan(ofNorm);
  });
  const kept = openSafetensors(fixture(`${name}.safetensors`)).tensors;
  for (const [kind, weight] of kept) {
    const [state] = await run.trainables({ ema: kind === 'ema' });
    const error = await errorOfUpdate(one, state!, readFloat32(weight));
    expect(error, `movement of the ${kind} tensors`).toBeLessThan(update);
  }
}

/**
 * RMS of what differs in the kept numbers, over the RMS of their movement; tensors whose gradient is zero in exact arithmetic left aside. Those that are not trained must not
 * have moved.
 */
async function errorOfUpdate(one: Case, state: AdapterState, kept: Float32Array): Promise<number> {
  const parts = json<Record<string, Record<string, string[]>>>(fixture('names.json'))[one.base]!;
  const names = [
    ...parts['unet']!,
    ...(one.settings.trainTextEncoder ? parts['text_encoder']! : []),
  ];
  expect(kept).toHaveLength(KEPT * names.length);
  const { weights } = await openBase(baseOf(one));
  let [errors, updates] = [0, 0];
  names.forEach((name, row) => {
    const dot = name.lastIndexOf('.');
    const mine = state.get(name.slice(0, dot))?.[name.slice(dot + 1)]?.data;
    const [moved, ...first] = kept.subarray(KEPT * row, KEPT * (row + 1));
    if (!mine) {
      expect(moved, `${name} is not trained`).toBe(0);
      return;
    }
    const before = readFloat32(weights.get(name)!);
    if (one.noise.ill_conditioned.includes(name)) return;
    const norm = Math.sqrt(before.reduce((sum, value, i) => sum + (mine[i]! - value) ** 2, 0));
    errors += (norm - moved!) ** 2;
    updates += moved! ** 2;
    first.slice(0, before.length).forEach((value, i) => {
      errors += (mine[i]! - value) ** 2;
      updates += (value - before[i]!) ** 2;
    });
  });
  return Math.sqrt(errors / updates);
}
