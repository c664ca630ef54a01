import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseRecipe } from '../../src/index.ts';
import { pictures, reports, stem, temporaryFolder, trained, using } from '../support/small.ts';

const folder = temporaryFolder();
const described = stem.data(pictures).accumulate(2);
const stateOf = (run: string, step: number) =>
  readFileSync(join(folder, run, 'state', String(step), 'state.safetensors'));
const metrics = (run: string) =>
  readFileSync(join(folder, run, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { step: number; loss: number; seconds: number });
/** What does not depend on the clock. */
const untimed = (run: string) => metrics(run).map(({ seconds: _, ...line }) => line);

describe('a run that is resumed', () => {
  it('goes on bit for bit: five steps and five steps are ten', async () => {
    await using(described.build({ logDir: join(folder, 'straight') }), async (run) => {
      await reports(run, 10);
      await run.saveState();
    });
    const logDir = join(folder, 'halves');
    await using(described.build({ logDir }), async (run) => {
      await reports(run, 5);
      await run.saveState();
      // Steps whose state was not saved are taken again.
      await reports(run, 2);
    });
    await using(described.build({ logDir, resume: true }), async (run) => {
      expect(await run.resume()).toBe(5);
      expect(run.step).toBe(5);
      await reports(run, 5);
      await run.saveState();
    });
    expect(readdirSync(join(logDir, 'state')).sort()).toEqual(['10', '5']);
    expect(stateOf('halves', 10).equals(stateOf('straight', 10))).toBe(true);
    expect(untimed('halves')).toEqual(untimed('straight'));
    expect(metrics('halves').map(({ step }) => step)).toEqual(
      Array.from({ length: 20 }, (_, i) => Math.floor(i / 2) + 1),
    );
  });

  it('can go on in another folder, also after it has trained already', async () => {
    await using(described.build(), async (run) => {
      await reports(run, 1);
      expect(await run.resume(join(folder, 'straight'))).toBe(10);
      const resumed = await trained(run);
      await reports(run, 1);
      expect(run.step).toBe(11);
      expect(await trained(run)).not.toEqual(resumed);
    });
  });

  it('begins at the beginning where there is no state yet', async () => {
    const logDir = join(folder, 'young');
    mkdirSync(join(logDir, 'state', '.7.abc.part'), { recursive: true });
    mkdirSync(join(logDir, 'state', '9'));
    await using(described.build({ logDir, resume: true }), async (run) => {
      expect(await run.resume()).toBe(0);
    });
  });

  it('refuses a state of other trainables, a damaged one, and a folder that is none', async () => {
    const other = stem.data(pictures);
    await using(other.build(), async (run) => {
      await expect(run.resume(join(folder, 'straight'))).rejects.toThrow(
        /state.10: was saved by a run with other trainables, another optimizer or other averages \(unknown: accumulated .*resume with the recipe that lies beside it/,
      );
      await expect(run.resume(join(folder, 'nowhere'))).rejects.toThrow(/nowhere: no such run/);
      await expect(run.resume()).rejects.toThrow(/name the folder of the earlier run/);
      expect(run.step).toBe(0);
      const damaged = join(folder, 'damaged', 'state', '3');
      mkdirSync(damaged, { recursive: true });
      writeFileSync(join(damaged, 'state.safetensors'), stateOf('straight', 10).subarray(0, 400));
      await expect(run.resume(join(folder, 'damaged'))).rejects.toThrow(
        /damaged.*not a whole safetensors file/,
      );
    });
  });
});

describe("a run's folder", () => {
  it('appears with the first step, and holds recipe, metrics, states, results and previews', async () => {
    const logDir = join(folder, 'whole');
    const look = described.with({
      save: { out: join(folder, 'result.safetensors'), every: 2 },
      preview: { every: 3, prompts: ['a cup', 'a rocket'], steps: 2 },
    });
    await using(look.build({ logDir }), async (run) => {
      expect(existsSync(logDir)).toBe(false);
      const written = (await reports(run, 4)).map((report) =>
        report.written.map((path) => path.slice(logDir.length + 1)),
      );
      expect(written).toEqual([
        [],
        ['state/2', 'output/result-2.safetensors'],
        ['previews/3-0.png', 'previews/3-1.png'],
        ['state/4', 'output/result-4.safetensors'],
      ]);
      for (const path of written.flat()) expect(existsSync(join(logDir, path))).toBe(true);
      expect(await run.save()).toEqual([join(folder, 'result.safetensors')]);
      await expect(run.save()).rejects.toThrow(/exists already/);
    });
    const text = readFileSync(join(logDir, 'recipe.yaml'), 'utf8');
    expect(text).toContain('seed: 3');
    expect(() => parseRecipe(text, { presets: {}, objectives: {} })).toThrow(
      /no adapter called "low-rank"/,
    );
    appendFileSync(join(logDir, 'metrics.jsonl'), '{"step": 5, "lo');
    await using(look.build({ logDir, resume: true }), async (run) => {
      expect(await run.resume()).toBe(4);
    });
    expect(metrics('whole').at(-1)!.step).toBe(4);
  });

  it('is not taken twice', async () => {
    await expect(described.build({ logDir: join(folder, 'straight') })).rejects.toThrow(
      /straight: a run lives there already; go on with it/,
    );
    await using(described.build(), async (run) => {
      await expect(run.saveState()).rejects.toThrow(/no folder to save its state in/);
    });
    await expect(described.with({ save: { every: 2 } }).build()).rejects.toThrow(
      /save.every and preview.every need a folder/,
    );
  });
});
