/** @file Where a run lives: `recipe.yaml`, `metrics.jsonl`, `state/STEP/`, `previews/`, `output/`, `summary.json`. */
import { appendFile, mkdir, readdir, readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readFloat32, weightOf } from '@sdft/models';
import {
  explainFileError,
  openSafetensors,
  writeFileWhole,
  writeFolderWhole,
  writeSafetensors,
} from '@sdft/models/node';
import { hostArray, type HostArray, UserError } from '@sdft/tensor';
import { splitExtension } from './paths.ts';
import type { Summary } from './summary.ts';

const stateFile = 'state.safetensors';

/** A line of `metrics.jsonl`, as far as it is read again. */
interface MetricLine {
  readonly step: number;
  readonly seconds?: number;
  readonly validationLoss?: number;
}

/** A saved state. */
export interface SavedState {
  readonly step: number;
  readonly path: string;
}

export class RunFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Throws UserError where a run lives here already. */
  refuseAnother(): void {
    if (existsSync(join(this.path, 'recipe.yaml')))
      throw new UserError(
        `${this.path}: a run lives there already; go on with it (--resume ${this.path}), or name another folder with --log-dir`,
      );
  }

  /** Makes the folder and writes the recipe. */
  async begin(recipe: string): Promise<void> {
    await writeFileWhole(join(this.path, 'recipe.yaml'), [new TextEncoder().encode(recipe)], {
      force: true,
    });
  }

  /** Adds lines to `metrics.jsonl`. */
  async addMetrics(lines: readonly object[]): Promise<void> {
    const path = join(this.path, 'metrics.jsonl');
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    await appendFile(path, text).catch((error: unknown) => {
      throw explainFileError(path, error);
    });
  }

  /** Takes the lines of steps after `step` out of `metrics.jsonl`: a run that is resumed takes them again. */
  async cutMetrics(step: number): Promise<void> {
    const kept = await this.#metricsUpTo(step);
    await writeFileWhole(
      join(this.path, 'metrics.jsonl'),
      [new TextEncoder().encode(kept.map((line) => `${line}\n`).join(''))],
      { force: true },
    );
  }

  /** What `metrics.jsonl` says of a run's first steps: how long they took, and after which of them the validation loss was measured last. */
  async soFar(
    step: number,
  ): Promise<{ readonly seconds: number; readonly validated: number | undefined }> {
    const lines = (await this.#metricsUpTo(step)).map((line) => JSON.parse(line) as MetricLine);
    return {
      seconds: lines.findLast((line) => line.seconds !== undefined)?.seconds ?? 0,
      validated: lines.findLast((line) => line.validationLoss !== undefined)?.step,
    };
  }

  /** The whole lines of `metrics.jsonl` up to a step; none where there is no such file. */
  async #metricsUpTo(step: number): Promise<string[]> {
    const text = await readFile(join(this.path, 'metrics.jsonl'), 'utf8').catch(() => '');
    return text.split('\n').filter((line) => line !== '' && stepOf(line) <= step);
  }

  /** Writes `summary.json`, in place of the one that is there. */
  async writeSummary(summary: Summary): Promise<void> {
    await writeFileWhole(
      join(this.path, 'summary.json'),
      [new TextEncoder().encode(`${JSON.stringify(summary, undefined, 2)}\n`)],
      { force: true },
    );
  }

  /** Writes `state/STEP/`, which appears whole or not at all. */
  async saveState(step: number, states: ReadonlyMap<string, HostArray>): Promise<string> {
    const path = join(this.path, 'state', String(step));
    const weights = new Map(
      [...states].map(([name, { data, shape }]) => [
        name,
        weightOf(
          data instanceof Uint8Array ? 'u8' : 'f32',
          shape,
          new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
        ),
      ]),
    );
    await mkdir(join(this.path, 'state'), { recursive: true });
    await writeFolderWhole(
      path,
      stateFile,
      (folder) =>
        writeSafetensors(join(folder, stateFile), weights, { metadata: { step: String(step) } }),
      { force: true },
    );
    return path;
  }

  /** The newest state that is whole; undefined where there is none yet. Throws UserError where the folder cannot be read. */
  async newestState(): Promise<SavedState | undefined> {
    if (!existsSync(this.path)) throw new UserError(`${this.path}: no such run`);
    const names = await readdir(join(this.path, 'state')).catch(() => []);
    const steps = names
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .sort((a, b) => b - a);
    for (const step of steps) {
      const path = join(this.path, 'state', String(step));
      if (existsSync(join(path, stateFile))) return { step, path };
    }
    return undefined;
  }

  /** The values of a saved state, read when they are asked for. Throws UserError where its file is damaged. */
  readState({ path }: SavedState): Map<string, () => HostArray> {
    const { tensors } = openSafetensors(join(path, stateFile));
    return new Map(
      [...tensors].map(([name, weight]) => [
        name,
        () =>
          hostArray(
            weight.dtype === 'u8' ? weight.read() : readFloat32(weight),
            weight.shape,
          ) as HostArray,
      ]),
    );
  }

  /** Path of a preview. */
  preview(step: number, index: number): string {
    return join(this.path, 'previews', `${step}-${index}.png`);
  }

  /** Path of the result at a step, called as the final one. */
  output(out: string, step: number): string {
    const [stem, extension] = splitExtension(basename(out));
    return join(this.path, 'output', `${stem}-${step}${extension}`);
  }
}

function stepOf(line: string): number {
  try {
    const { step } = JSON.parse(line) as { step?: unknown };
    return typeof step === 'number' ? step : Number.POSITIVE_INFINITY;
  } catch {
    // A line that was being written when the run was killed.
    return Number.POSITIVE_INFINITY;
  }
}
