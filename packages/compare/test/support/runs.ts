/** @file Short runs on a tiny base. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CompareOptions, compareRuns } from '../../src/node/compareRuns.ts';
import {
  adamw,
  cpu,
  images,
  lora,
  type Method,
  type Needs,
  pipeline,
  textualInversion,
} from '@sdft/methods';
import { afterAll } from 'vitest';

/** A reference result. */
export const goldens = (path: string): string =>
  fileURLToPath(new URL(`../../../../fixtures/goldens/${path}`, import.meta.url));

/** A folder that goes when the tests are over. */
export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'sdft-compare-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A run of two steps, finished, on `base`; gives its folder. */
async function train(
  folder: string,
  result: string,
  method: Method<Needs>,
  { base, subject }: { readonly base: string; readonly subject: string },
): Promise<string> {
  const pictures = goldens('train/images');
  await using run = await pipeline()
    .model(base)
    .data(images(pictures, { template: `a drawing of ${subject}`, resolution: 64 }))
    .method(method as Method<'instance'>)
    .optimizer(adamw({ lr: 1e-2 }))
    .validation(pictures, { draws: 1 })
    .steps(2)
    .with({ save: { out: result } })
    .build({ logDir: folder });
  for await (const _ of run.steps()) void _;
  await run.save(result);
  return folder;
}

/** A word and a LoRA, in folders whose names are what somebody hostile would call them. */
export async function twoRuns(): Promise<{
  readonly word: string;
  readonly lora: string;
  readonly out: string;
}> {
  const at = temporaryFolder();
  const base = join(at, 'base');
  cpSync(goldens('tiny-sd'), base, { recursive: true });
  const named = (name: string): string => join(at, name);
  const hostile = `"onerror='alert(1)' <b>`;
  return {
    word: await train(
      named('word'),
      named('boy.safetensors'),
      textualInversion({ token: '<boy>', init: 'boy' }),
      { base, subject: '{}' },
    ),
    lora: await train(named(hostile), named(`${hostile}.safetensors`), lora({ rank: 2 }), {
      base,
      subject: 'cat',
    }),
    out: at,
  };
}

/** What a comparison said while it worked. */
export interface Told {
  readonly notes: string[];
  /** Sampler steps. */
  steps: number;
}

/** Options of a small comparison, and what it tells. */
export function small(
  folders: readonly string[],
  out: string,
  more: Partial<CompareOptions> = {},
): { readonly options: CompareOptions; readonly told: Told } {
  const told: Told = { notes: [], steps: 0 };
  return {
    told,
    options: {
      runs: folders.map((folder, i) => ({ label: `run ${i}`, folder })),
      prompts: ['a drawing of {}'],
      ...{ word: 'cat', n: 2, seed: 5, steps: 2, cfg: 3, out, backend: cpu() },
      ...{ command: 'sdft compare', version: '0.1.0' },
      note: (text) => told.notes.push(text),
      progress: ({ title }) => ({
        step: ({ steps }) => {
          if (title === 'drawing') told.steps += steps;
        },
      }),
      ...more,
    },
  };
}

/** The page of a small comparison, and what was told meanwhile. */
export async function compared(
  ...given: Parameters<typeof small>
): Promise<{ readonly page: string; readonly told: Told }> {
  const { options, told } = small(...given);
  return { page: await compareRuns(options), told };
}
