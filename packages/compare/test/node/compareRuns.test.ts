import { cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { compareRuns } from '../../src/node/compareRuns.ts';
import { compared, goldens, small, temporaryFolder, twoRuns } from '../support/runs.ts';

let runs: Awaited<ReturnType<typeof twoRuns>>;
beforeAll(async () => {
  runs = await twoRuns();
}, 60_000);

const report = (name: string): string => join(runs.out, `${name}.html`);
const folders = (): string[] => [runs.word, runs.lora];
const count = (text: string, what: RegExp): number => [...text.matchAll(what)].length;

/** A copy of the word's run that a test may damage, carried elsewhere with its result. */
function copied(change: (folder: string) => void = () => undefined): string {
  const folder = join(temporaryFolder(), 'run');
  cpSync(runs.word, folder, { recursive: true });
  cpSync(join(runs.out, 'boy.safetensors'), join(folder, 'output', 'boy.safetensors'));
  change(folder);
  return folder;
}

describe('two runs and their base', () => {
  test('every picture is on the page, with its word, seed and command; figures come from the runs', async () => {
    const { page, told } = await compared(folders(), report('whole'), {
      heldOut: goldens('train/images'),
    });
    expect(count(page, /class="shot"/g)).toBe(3 * 2);
    expect(told.steps).toBe(3 * 2 * 2);
    expect(page).toContain('data-prompt="a drawing of &lt;boy&gt;" data-seed="5"');
    expect(page).toContain('data-prompt="a drawing of cat" data-seed="6"');
    expect(page).toMatch(
      /data-command="sdft generate --base \S+ --embedding \S+boy\.safetensors --prompt/,
    );
    // A file whose name would break out of the page, and out of a shell.
    expect(page).toContain('/&quot;onerror=&#39;\\&#39;&#39;alert(1)');
    expect(page).not.toMatch(/<[^>]*\sonerror=/);
    for (const figure of [
      'Forgetting',
      'Validation loss',
      'Trained numbers',
      'File',
      'Time',
      'Memory',
    ])
      expect(page).toContain(`<th scope="col">${figure}</th>`);
    expect(page).toContain('method: textual-inversion');
    expect(count(page, /class="plot /g)).toBe(4);
  });

  test('a second call draws nothing, and one that was interrupted goes on', async () => {
    const out = report('again');
    const stop = new AbortController();
    const { options } = small(folders(), out, { signal: stop.signal });
    const cut = compareRuns({
      ...options,
      progress: () => ({ step: () => stop.abort() }),
    });
    await expect(cut).rejects.toThrow(/abort/i);
    const parts = (): string[] =>
      readdirSync(out.replace('.html', '.parts')).filter((name) => name.endsWith('.png'));
    expect(parts()).toEqual([]);
    const first = await compared(folders(), out);
    expect([first.told.steps, parts().length]).toEqual([12, 6]);
    rmSync(join(out.replace('.html', '.parts'), parts()[0]!));
    const second = await compared(folders(), out);
    expect(second.told.steps).toBe(2);
    expect(second.told.notes.join()).toContain('5 of 6 pictures are there already');
    expect(second.page).toBe(first.page);
  });

  test('what a run does not say is missing on the page, which says so', async () => {
    const old = copied((folder) => {
      rmSync(join(folder, 'summary.json'));
      writeFileSync(join(folder, 'metrics.jsonl'), '{"step": 1, "loss": 0.5}\n{"step": 2, "lo');
    });
    const { page } = await compared([old], report('again'));
    const missing = page.slice(page.indexOf('What is missing'));
    expect(missing).toContain('run 0 has no summary.json');
    expect(missing).toContain('Some lines in metrics.jsonl of run 0 cannot be read');
    expect(missing).toContain('No run measured a validation loss');
    expect(missing).toContain('cannot be shown over minutes');
    expect(missing).toContain('Forgetting was not measured');
    expect(page).not.toContain('<th scope="col">Memory</th>');
  });

  test('a base that is no longer what the runs started from is told of, here and on the page', async () => {
    const other = copied((folder) => {
      const path = join(folder, 'summary.json');
      writeFileSync(path, readFileSync(path, 'utf8').replace(/"hash": "[0-9a-f]+/, '"hash": "00'));
    });
    const { page, told } = await compared([other], report('again'));
    expect(told.notes).toContain('warning: The base has changed since run 0 started from it.');
    expect(page).toContain('<li>The base has changed since run 0 started from it.</li>');
  });

  test('a run whose folder was carried elsewhere brings its result along', async () => {
    const moved = copied();
    const result = join(runs.out, 'boy.safetensors');
    renameSync(result, `${result}.away`);
    try {
      expect((await compared([moved], report('again'))).page).toContain('output/boy.safetensors');
    } finally {
      renameSync(`${result}.away`, result);
    }
  });
});

describe('refused, before anything is drawn', () => {
  const refused = async (given: readonly string[], more: Parameters<typeof small>[2] = {}) => {
    const { options, told } = small(given, report('refused'), more);
    const error = await compareRuns(options).catch((reason: Error) => reason);
    expect(told.steps).toBe(0);
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).name).toBe('UserError');
    return (error as Error).message;
  };

  test('folders that are no finished runs', async () => {
    expect(await refused([join(runs.out, 'nowhere')])).toContain('there is no such folder');
    expect(await refused([temporaryFolder()])).toContain('holds no recipe.yaml');
    const broken = copied((folder) => writeFileSync(join(folder, 'recipe.yaml'), 'base: ['));
    expect(await refused([broken])).toContain('recipe.yaml');
    const unfinished = copied((folder) => {
      rmSync(join(folder, 'summary.json'));
      const recipe = join(folder, 'recipe.yaml');
      writeFileSync(
        recipe,
        readFileSync(recipe, 'utf8').replaceAll('boy.safetensors', 'girl.safetensors'),
      );
    });
    expect(await refused([unfinished])).toMatch(/is unfinished: .*sdft train --resume/);
    const other = copied((folder) => {
      const path = join(folder, 'summary.json');
      const summary = JSON.parse(readFileSync(path, 'utf8')) as { files: { path: string }[] };
      writeFileSync(
        path,
        JSON.stringify({ ...summary, files: [{ path: '../../gone.safetensors' }] }),
      );
    });
    expect(await refused([other])).toMatch(/what it learned, .*gone/);
  });

  test('runs on two bases', async () => {
    const other = copied((folder) => {
      const path = join(folder, 'summary.json');
      writeFileSync(path, readFileSync(path, 'utf8').replace(/"hash": "[0-9a-f]+/, '"hash": "00'));
    });
    expect(await refused([runs.word, other])).toContain('only runs on one base can be compared');
  });

  test('names, words, sizes and pictures that do not go together', async () => {
    expect(
      await refused([runs.word, runs.word], {
        runs: [1, 2].map(() => ({ label: 'a', folder: runs.word })),
      }),
    ).toContain('two runs are called a');
    expect(await refused([], { runs: [{ label: 'base', folder: runs.word }] })).toContain(
      'as the base is',
    );
    expect(await refused([runs.word], { word: undefined })).toContain('--word WORD');
    expect(await refused([runs.word], { size: { width: 63, height: 64 } })).toContain(
      '--size 63x64',
    );
    expect(await refused([runs.word], { steps: 5000 })).toContain('--steps 5000');
    expect(await refused([runs.word], { n: 2000 })).toContain('a page has room for');
    expect(await refused([runs.word], { heldOut: temporaryFolder() })).toContain(
      'holds no pictures',
    );
    const taken = join(temporaryFolder(), 'refused.html');
    cpSync(join(runs.out, 'word'), taken.replace('.html', '.parts'), { recursive: true });
    expect(await refused([runs.word], { out: taken })).toContain('holds other things');
  });
});
