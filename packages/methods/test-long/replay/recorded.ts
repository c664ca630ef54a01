/** @file Recorded runs of other programs, of every method: what has to be repeated on a backend. */
import type { Backend } from '../../src/index.ts';
import { cases as dreamBooth } from '../../test/dreambooth/cases.ts';
import { expectTrajectory as expectFull } from '../../test/full/cases.ts';
import { names as full } from '../../test/full/names.ts';
import {
  expectTrajectory as expectHypernetwork,
  goldenRuns,
  ownRun,
} from '../../test/hypernetwork/runs.ts';
import { inpainting } from '../../test/inpainting/cases.ts';
import { cases as loras } from '../../test/lora/oracles.ts';
import { expectTraining } from '../../test/lora/trained.ts';
import { cases as words } from '../../test/replay/cases.ts';
import { expectTrajectory as expectWords } from '../../test/replay/trajectory.ts';
import { cases as upscalers } from '../../test/super-resolution/cases.ts';
import { expectRun } from '../../test/support/recordedRun.ts';

export interface Recorded {
  readonly name: string;
  /** Throws where losses, rates, norms or what is trained are not those of the other program. */
  readonly repeat: (backend: Backend) => Promise<void>;
}

const hypernetworks = ['dropout', 'activated-output', 'prelu', 'rrelu', 'softmax', 'resumed'];

export const recorded: readonly Recorded[] = [
  ...words.map((one) => ({
    name: `textual inversion: ${one.name}`,
    repeat: (on: Backend) => expectWords(one, on),
  })),
  ...[...dreamBooth, inpainting].map((one) => ({
    name: `DreamBooth: ${one.name}`,
    repeat: (on: Backend) => expectRun(one, on),
  })),
  ...full.map((name) => ({
    name: `full: ${name}`,
    repeat: (on: Backend) => expectFull(name, on),
  })),
  ...loras.map(([name, one]) => ({
    name: `LoRA: ${name}`,
    repeat: (on: Backend) => expectTraining(name, one, on),
  })),
  ...[...goldenRuns, ...hypernetworks.map(ownRun)].map((one) => ({
    name: `hypernetwork: ${one.name}`,
    repeat: (on: Backend) => expectHypernetwork(one, on),
  })),
  ...upscalers.map((one) => ({
    name: `super-resolution: ${one.name}`,
    repeat: (on: Backend) => expectRun(one, on),
  })),
];

/** Repeats `count` of them, some of each method; says which of them did not go. */
export async function repeatAll(count: number, backend: () => Backend): Promise<void> {
  const failed: string[] = [];
  for (let i = 0; i < count; i++) {
    const { name, repeat } = recorded[Math.floor((i * recorded.length) / count)]!;
    await repeat(backend()).catch((error: unknown) => {
      failed.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    });
  }
  if (failed.length > 0) throw new Error(`${failed.length} of ${count}:\n${failed.join('\n')}`);
}
