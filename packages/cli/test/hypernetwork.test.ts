/** @file Hypernetworks through the command line: A1111's runs again, its files in pictures, and what goes wrong. */
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openTorch } from '@sdft/models/node';
import { describe, expect, test } from 'vitest';
import { goldens, jsonLines, pathOf, sdft, temporaryFolder } from './sdft.ts';
import { numbers, tensor, write } from './tensors.ts';
import { type Line, untimed } from './training.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const fixtures = pathOf('fixtures/hypernetwork');
const [strong, other] = ['strong', 'other'].map((name) => `${fixtures}/files/${name}.pt`) as [
  string,
  string,
];
const run = (...args: readonly string[]) => sdft(args, { cwd: folder });

describe("A1111's runs, by the commands of their record", () => {
  test.for([
    ['hn_linear', '--activation', 'linear', '--lr', '0.005:4, 1e-3:8, 5e-4'],
    [
      ...['hn_tanh_ln', '--activation', 'tanh', '--layer-norm', '--lr', '0.003:2, 0.001'],
      ...['--clip', '0.05:5, 0.02'],
    ],
  ] as const)('%s', async ([name, ...flags]) => {
    const out = at(`${name}.pt`);
    const ended = await run(
      ...['train', 'hypernetwork', '--base', goldens('tiny-sd'), '--steps', '5', '--out', out],
      ...['--replay', goldens(`train/${name}/replay.safetensors`), '--layer-structure', '1, 2, 1'],
      ...['--init-from', goldens(`train/${name}/initial.pt`), '--json', ...flags],
    );
    expect(ended.code, ended.stderr).toBe(0);
    const told = JSON.parse(readFileSync(goldens(`train/${name}/loss.json`), 'utf8')) as {
      micro_steps: { loss: number }[];
      optimizer_steps: { lr: number }[];
    };
    const lines = jsonLines<Line>(ended);
    expect(lines.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5]);
    lines.forEach(({ loss, lr }, k) => {
      expect(Math.abs(loss - told.micro_steps[k]!.loss)).toBeLessThanOrEqual(2e-5);
      expect(lr).toBe(told.optimizer_steps[k]!.lr);
    });
    const { value } = await openTorch(out);
    expect([...(value as Map<unknown, unknown>).keys()].slice(0, 3)).toEqual([12, 16, 32]);
  });
});

describe("pictures with A1111's hypernetworks, against its own code on diffusers", () => {
  const file = `${fixtures}/pictures.safetensors`;
  test.for([
    ['none'],
    ['strong', strong],
    ['strong weakly', `${strong}:0.35`],
    ['other backwards', `${other}:-0.5`],
    ['strong, other', `${strong}:0.8`, `${other}:0.6`],
    ['other, strong', `${other}:0.6`, `${strong}:0.8`],
  ] as const)('%s', async ([name, ...files]) => {
    const [ids, start, final] = ['ids', 'start', 'final'].map((part) =>
      at(`${name} ${part}.safetensors`),
    ) as [string, string, string];
    await write(ids, {
      cond_ids: tensor(file, 'cond_ids'),
      uncond_ids: tensor(file, 'uncond_ids'),
    });
    await write(start, { latents: tensor(file, 'latents') });
    const ended = await run(
      ...['generate', '--base', goldens('tiny-sd'), '--prompt-ids', ids, '--latents', start],
      ...['--steps', '6', '--cfg', '7.5', '--out', name, '--save-latents', final],
      ...files.flatMap((one) => ['--hypernetwork', one]),
    );
    expect(ended.code, ended.stderr).toBe(0);
    const [ours, theirs, without] = [
      numbers(final, 'latents'),
      numbers(file, `result ${name}`),
      numbers(file, 'result none'),
    ];
    const largest = (a: Float32Array, b: Float32Array) =>
      a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
    expect(largest(ours, theirs)).toBeLessThanOrEqual(1e-3);
    if (files.length > 0) expect(largest(theirs, without)).toBeGreaterThan(1);
  });
});

test('trained on pictures, written, drawn with, and trained further', async () => {
  const train = (out: string, ...more: readonly string[]) =>
    run(
      ...['train', 'hypernetwork', '--base', goldens('tiny-sd'), '--out', at(out), '--json'],
      ...['--images', goldens('train/images'), '--resolution', '64', '--seed', '4'],
      ...['--activation', 'swish', '--weight-init', 'KaimingNormal', '--lr', '1e-3', ...more],
      ...['--dropout-structure', '0, 0.1, 0', '--optimizer-state'],
    );
  const first = await train('hn.pt', '--steps', '4', '--log-dir', at('first'));
  expect(first.code, first.stderr).toBe(0);
  expect(jsonLines<Line>(first)).toHaveLength(4);
  expect(existsSync(at('hn.pt.optim'))).toBe(true);

  const drawn = await run(
    ...['generate', '--base', goldens('tiny-sd'), '--hypernetwork', at('hn.pt:0.8')],
    ...['--prompt', 'a cup', '--steps', '2', '--size', '64x64', '--seed', '1', '--out', 'drawn'],
  );
  expect(drawn.code, drawn.stderr).toBe(0);
  expect(drawn.stderr).toContain('1, 2, 1, swish, dropout 0, 0.1, 0; 4 steps, strength 0.8');
  expect(existsSync(at('drawn/00000-seed-1.png'))).toBe(true);

  const more = await train('more.pt', '--steps', '6', '--init-from', at('hn.pt'));
  expect(more.code, more.stderr).toBe(0);
  expect(jsonLines<Line>(more).map(({ step }) => step)).toEqual([5, 6]);
  const whole = await train('whole.pt', '--steps', '6', '--log-dir', at('whole'));
  expect(whole.code, whole.stderr).toBe(0);
  expect(untimed(jsonLines(whole)).slice(4)).toEqual(untimed(jsonLines(more)));
});

describe('faults of others end with status 2, and say what to do', () => {
  const bytes = readFileSync(strong);
  writeFileSync(at('cut.pt'), bytes.subarray(0, bytes.length - 3000));
  copyFileSync(goldens('train/ti_a1111/result.pt'), at('word.pt'));
  const draw = (base: string, file: string) => [
    ...['generate', '--base', base, '--hypernetwork', file, '--prompt', 'a', '--out', 'never'],
  ];
  const train = (...more: readonly string[]) => [
    ...['train', 'hypernetwork', '--base', goldens('tiny-sd'), '--steps', '1', '--out', 'n.pt'],
    ...['--replay', goldens('train/hn_linear/replay.safetensors'), ...more],
  ];
  test.for<readonly [what: string, args: readonly string[], message: RegExp]>([
    [
      'widths of another base',
      draw('nano', strong),
      /strong.pt: has modules for contexts of width .*trained on another kind of model; take a base/,
    ],
    ['a cut file', draw(goldens('tiny-sd'), at('cut.pt')), /--hypernetwork .*cut.pt/],
    ['another file', draw(goldens('tiny-sd'), at('word.pt')), /word.pt: is no hypernetwork/],
    [
      'a structure that does not begin with 1',
      train('--layer-structure', '2, 1'),
      /must begin and end with 1/,
    ],
    [
      'a structure that does not end with 1',
      train('--layer-structure', '1, 2'),
      /must begin and end with 1/,
    ],
    ['an unknown activation', train('--activation', 'leakyrelo'), /did you mean leakyrelu/],
    ['widths that are not there', train('--sizes', '768'), /no contexts of width 768; it has 12/],
    [
      'an ending that modules of layers do not have',
      train('--modules', 'layer'),
      /files that end in .safetensors/,
    ],
  ])('%s', async ([, args, message]) => {
    const ended = await run(...args);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toMatch(message);
    expect(ended.stdout).toBe('');
    expect(existsSync(at('n.pt'))).toBe(false);
  });
});
