/** @file A recorded run, trained again. */
import { existsSync } from 'node:fs';
import type { Backend, Pipeline, Report } from '../../src/index.ts';
import { expect } from 'vitest';
import { type Case, fixture, microSteps, recipeOf, toleranceOf } from './cases.ts';
import { errorOfUpdate, vectorsIn, vectorsOf } from './vectors.ts';

export interface Trained {
  readonly reports: readonly Report[];
  /** First and last vectors. */
  readonly from: Float32Array;
  readonly to: Float32Array;
}

/** Trains a recipe on a record, to the record's end. */
export async function train(
  recipe: Pipeline,
  options: { readonly replay: string; readonly record?: string; readonly backend?: Backend },
): Promise<Trained> {
  await using run = await recipe.build(options);
  const from = await vectorsOf(run);
  const reports: Report[] = [];
  for await (const report of run.steps()) reports.push(report);
  return { reports, from, to: await vectorsOf(run) };
}

/** The record of a case. */
export const recordOf = ({ folder }: Case): string => fixture(`${folder}/replay.safetensors`);

/** How far the trained vectors are from those of the reference program, relative to their movement. */
export async function errorOf(one: Case, { from, to }: Trained): Promise<number> {
  return errorOfUpdate(from, to, await vectorsIn(fixture(`${one.folder}/result.safetensors`)));
}

/** Trains a case; every loss, rate and norm and the trained vectors must be those of the reference program. */
export async function expectTrajectory(one: Case, backend: Backend): Promise<void> {
  const trained = await train(recipeOf(one), { replay: recordOf(one), backend });
  const tolerance = toleranceOf(one);
  const expected = microSteps(one);
  const { reports } = trained;
  const initial = fixture(`${one.folder}/initial.safetensors`);
  if (existsSync(initial)) expect(trained.from).toEqual(await vectorsIn(initial));
  expect(reports.map(({ step }) => step)).toEqual(
    Array.from({ length: one.steps }, (_, i) => i + 1),
  );
  expect(expected).toHaveLength(one.steps * one.accumulate);
  reports
    .flatMap(({ losses }) => losses)
    .forEach((loss, k) =>
      expect(Math.abs(loss - expected[k]!.loss), `loss of micro-step ${k}`).toBeLessThanOrEqual(
        tolerance.loss_abs,
      ),
    );
  reports.forEach(({ lr, gradNorm }, n) => {
    const { lr: rate, grad_norm: norm } = expected[(n + 1) * one.accumulate - 1]!;
    if (rate !== undefined) expect(lr, `rate of step ${n + 1}`).toBeCloseTo(rate, 15);
    if (norm !== undefined)
      expect(
        Math.abs(gradNorm / norm - 1),
        `norm of the gradient of step ${n + 1}`,
      ).toBeLessThanOrEqual(tolerance.grad_norm_relative!);
  });
  expect(await errorOf(one, trained)).toBeLessThanOrEqual(tolerance.relative_error_of_update);
}
