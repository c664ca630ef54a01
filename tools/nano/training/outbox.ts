/** @file What is known of a training so far, in a folder of a few small files: the model as f16, its weights as they are, figures. */
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Run } from '@sdft/methods';
import type { Weight } from '@sdft/tensor';
import { now } from './clock.ts';
import { below, weightsOf, writePart, writeSplit } from './parts.ts';

export class Outbox {
  readonly #folder: string;
  readonly #known: Record<string, unknown> = {};
  readonly #metrics = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  /** Adds figures to `progress.json`. */
  tell(more: object): void {
    Object.assign(this.#known, more, { at: Math.round(now()) });
    writeFileSync(
      join(this.#folder, 'progress.json'),
      `${JSON.stringify(this.#known, undefined, 1)}\n`,
    );
  }

  /** The autoencoder among these weights, as `vae.safetensors`. */
  async vae(weights: ReadonlyMap<string, Weight>): Promise<void> {
    await writePart(this.#folder, 'vae', below(weights, 'vae'), 'f16');
  }

  /** The averages of a run's text encoder and U-Net, and its weights as they are, f32, to go on from. */
  async networks(run: Run): Promise<void> {
    const [average] = await run.trainables();
    const averages = weightsOf(average!);
    for (const root of ['unet', 'text_encoder'])
      await writePart(this.#folder, root, below(averages, root), 'f16');
    const [state] = await run.trainables({ ema: false });
    await writeSplit(this.#folder, 'weights', weightsOf(state!));
  }

  /** The metrics of a run so far, after those of others. */
  metrics(part: string, run: Run): void {
    this.#metrics.set(part, readFileSync(join(run.folder!, 'metrics.jsonl'), 'utf8'));
    const file = join(this.#folder, 'metrics.jsonl');
    writeFileSync(file, '');
    for (const [name, lines] of this.#metrics)
      appendFileSync(file, lines.replaceAll('{"step"', `{"part":"${name}","step"`));
  }
}
