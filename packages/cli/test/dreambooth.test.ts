/** @file DreamBooth by the command line: class pictures that are drawn first, and a recorded run of diffusers' script. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCheckpoint } from '@sdft/models/node';
import { readFloat32 } from '@sdft/models';
import { openSafetensors } from '@sdft/models/node';
import { describe, expect, test } from 'vitest';
import { goldens, jsonLines, program, sdft, temporaryFolder } from './sdft.ts';
import { errorOf } from './tensors.ts';
import { type Line, pictures } from './training.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
pictures(folder, 2);
const run = (args: readonly string[]) => sdft(args, { cwd: folder });
const classFolder = 'class-images/nano/a-flat-drawing-of-a-man';
const subject = (out: string, ...more: readonly string[]): string[] => [
  ...['train', 'dreambooth', '--base', 'nano', '--images', 'pictures', '--out', out],
  ...['--prompt', 'a flat drawing of sks man', '--steps', '2', '--seed', '7', ...more],
];
const withClass = ['--class-prompt', 'a flat drawing of a man', '--class-count', '3'];
const fewSteps = ['--class-steps', '2'];

test('the recorded run of diffusers: every loss, and every weight', async () => {
  const ended = await run([
    ...['train', 'dreambooth', '--base', goldens('tiny-sd')],
    ...['--replay', goldens('train/db_prior/replay.safetensors'), '--steps', '5'],
    ...['--lr', '2e-4', '--schedule', 'cosine', '--warmup', '1', '--prior-weight', '1'],
    ...['--weight-decay', '0.01', '--clip', '1', '--out', 'db_prior', '--json'],
  ]);
  expect(ended.code, ended.stderr).toBe(0);
  const read = <T>(path: string): T => JSON.parse(readFileSync(goldens(path), 'utf8')) as T;
  const { micro_steps: expected } = read<{ micro_steps: { loss: number; lr: number }[] }>(
    'train/db_prior/loss.json',
  );
  const noise = read<{
    suggested_tolerance: {
      relative_error_of_update: number;
      worst_tensor: number;
      loss_abs: number;
    };
    ill_conditioned: string[];
  }>('train/db_prior/noise.json');
  const { loss_abs, relative_error_of_update, worst_tensor } = noise.suggested_tolerance;
  const lines = jsonLines<Line>(ended);
  expect(lines).toHaveLength(5);
  lines.forEach(({ loss, lr }, k) => {
    expect(Math.abs(loss - expected[k]!.loss)).toBeLessThanOrEqual(loss_abs);
    expect(lr).toBeCloseTo(expected[k]!.lr, 12);
  });

  const [before, after] = await Promise.all([
    openCheckpoint(goldens('tiny-sd')),
    openCheckpoint(at('db_prior')),
  ]);
  const whole: [number[], number[]] = [[], []];
  for (const [name, weight] of openSafetensors(goldens('train/db_prior/result.safetensors'))
    .tensors) {
    const from = readFloat32(before.weights.get(name)!);
    const moved = (values: Float32Array) => values.map((value, i) => value - from[i]!);
    const [ours, theirs] = [
      moved(readFloat32(after.weights.get(name)!)),
      moved(readFloat32(weight)),
    ];
    // Gradients that are zero in exact arithmetic: what moves these is rounding.
    if (noise.ill_conditioned.includes(name)) continue;
    whole[0].push(...ours);
    whole[1].push(...theirs);
    expect(errorOf(ours, theirs).rms, name).toBeLessThanOrEqual(worst_tensor);
  }
  const error = errorOf(Float32Array.from(whole[0]), Float32Array.from(whole[1]));
  expect(error.rms).toBeLessThanOrEqual(relative_error_of_update);
  // What is not trained is as it was.
  for (const [name, weight] of before.weights)
    if (!name.startsWith('unet.'))
      expect(Buffer.compare(after.weights.get(name)!.read(), weight.read()), name).toBe(0);
});

describe('class pictures', () => {
  test('are drawn before the run, which trains, saves and can be drawn with', async () => {
    const ended = await run(subject('rex', ...withClass, ...fewSteps, '--json'));
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toContain(
      `class images: 0 of 3 are there; drawing 3 of "a flat drawing of a man" into ${classFolder}, seed 7`,
    );
    expect(ended.stderr).toMatch(/^class images {2}6\/6 {2}picture 3 of 3/m);
    expect(ended.stderr).toMatch(
      /^data: 2 pictures, 64 x 64 pixels, 1 caption\n {2}and 3 class pictures, 1 caption: a batch has one for each picture of the subject, an epoch 3 of both$/m,
    );
    // Programs hear of steps alone.
    expect(jsonLines<Line>(ended).map(({ step }) => step)).toEqual([1, 2]);
    expect(readdirSync(at(classFolder)).map((name) => name.replace(/-[0-9a-f]{16}/, ''))).toEqual([
      '00000.png',
      '00001.png',
      '00002.png',
    ]);

    const drawn = await run([
      ...['generate', '--base', 'rex', '--prompt', 'a flat drawing of sks man', '--steps', '2'],
      ...['--out', 'drawn'],
    ]);
    expect(drawn.code, drawn.stderr).toBe(0);
    expect(readdirSync(at('drawn'))).toHaveLength(1);
  });

  test('are there for the next run, in other layouts too', async () => {
    const ended = await run(subject('rex.safetensors', ...withClass, '--prior-weight', '0.5'));
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).not.toContain('class images:');
    expect(readdirSync(at(classFolder))).toHaveLength(3);
    expect(existsSync(at('rex.safetensors'))).toBe(true);
  });

  test('are planned but not drawn by --backend null', async () => {
    const more = ['--class-images', 'planned', '--backend', 'null'];
    const ended = await run(subject('planned', ...withClass, ...more));
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toContain('and 3 class pictures, 3 of them to be drawn, 1 caption');
    expect(existsSync(at('planned'))).toBe(false);
  });

  test('are not drawn for a run that would be refused', async () => {
    const more = ['--class-images', 'never', '--schedule', 'cosine', '--over', 'textual-inversion'];
    const ended = await run(subject('never', ...withClass, ...more, '--token', 'man'));
    expect(ended.code, ended.stderr).toBe(2);
    expect(existsSync(at('never'))).toBe(false);
  });

  test('stay where Ctrl-C ends the drawing, and the same command goes on', async () => {
    const args = ['--class-images', 'parts', '--class-steps', '20'];
    const command = subject('parts-out', ...withClass, ...args);
    const child = spawn(program[0], [...program.slice(1), ...command], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    child.stderr.on('data', (text) => (stderr += text));
    const watch = setInterval(() => {
      if (!existsSync(at('parts')) || readdirSync(at('parts')).length === 0) return;
      clearInterval(watch);
      child.kill('SIGINT');
    }, 10);
    const code = await new Promise((resolve) => child.on('close', resolve));
    clearInterval(watch);
    expect(code, stderr).toBe(130);
    expect(stderr).toMatch(/interrupted; [12] of 3 class images are there, in parts\n/);
    expect(stderr).toContain('The same command goes on with the next one');
    const first = readdirSync(at('parts'));
    expect(first.every((name) => /^0000\d-[0-9a-f]{16}\.png$/.test(name))).toBe(true);
    expect(existsSync(at('parts-out'))).toBe(false);

    const ended = await run(command);
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toMatch(/class images: [12] of 3 are there; drawing [12] of/);
    expect(readdirSync(at('parts'))).toEqual(expect.arrayContaining(first));
    expect(readdirSync(at('parts'))).toHaveLength(3);
  });
});

describe('prior preservation without a class is refused, saying what to do:', () => {
  test.for([
    [
      ['--prior-weight', '1'],
      '--prior-weight asks for prior preservation, and there are no class pictures: give a class prompt for the base to draw from',
    ],
    [
      ['--class-images', 'none'],
      'none: no class images are there. Put pictures of the class there, or say what the base shall draw: a class prompt',
    ],
    [['--rank', '4'], 'there is no flag --rank'],
    [
      ['--over', 'nothing'],
      "argument 'nothing' is invalid. Allowed choices are full, textual-inversion",
    ],
    [['--over', 'textual-inversion'], '--token is missing'],
  ] as const)('%j', async ([flags, said]) => {
    const ended = await run(subject('refused', ...flags));
    expect(ended.stderr).toContain(said);
    expect(ended.code).toBe(2);
    expect(existsSync(at('refused'))).toBe(false);
  });

  test('without any class it is plain DreamBooth', async () => {
    const ended = await run(subject('plain', '--backend', 'null'));
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toMatch(/^data: 2 pictures, 64 x 64 pixels, 1 caption$/m);
  });
});

test('over another method, with its flags beside it', async () => {
  const ended = await run(
    subject('word.safetensors', ...['--over', 'textual-inversion', '--token', '<rex>']).concat(
      ...['--init', 'man', '--prompt', 'a flat drawing of {}', ...withClass],
    ),
  );
  expect(ended.code, ended.stderr).toBe(0);
  expect(readFileSync(at('runs/word/recipe.yaml'), 'utf8')).toMatch(
    /^over:\n {2}name: textual-inversion\n {2}token: <rex>\n {2}init: man$/m,
  );
  expect([...openSafetensors(at('word.safetensors')).tensors.keys()]).toEqual(['<rex>']);
});
