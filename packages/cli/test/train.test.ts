import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { parseRecipe } from '@sdft/methods';
import { describe, expect, test } from 'vitest';
import { version } from '../src/version.ts';
import { withNaN } from './damage.ts';
import { goldens, jsonLines, program, runProgram, sdft, temporaryFolder } from './sdft.ts';
import { type Line, pictures, teach, untimed } from './training.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
pictures(folder);
const run = (args: readonly string[]) => sdft(args, { cwd: folder });

describe('a recipe file', () => {
  const recipe = (name: string, more: string): string => {
    mkdirSync(at('recipes'), { recursive: true });
    const text = `
base: nano
method: textual-inversion
token: <x>
init: boy
data: { images: ../pictures, template: 'a flat drawing of {}' }
optimizer: { lr: 5e-3 }
seed: 7
save: { out: ${name}.safetensors }
${more}`;
    writeFileSync(at(`recipes/${name}.yaml`), text);
    return `recipes/${name}.yaml`;
  };

  test('trains as the flags do; its paths start from the file; --set changes it', async () => {
    const path = recipe('same', 'steps: 100');
    const ended = await run(['train', path, '--set', 'steps=2', '--json']);
    expect(ended.code, ended.stderr).toBe(0);
    const flags = await run(teach('pictures', 'flags.safetensors', '--steps', '2', '--json'));
    expect(flags.code, flags.stderr).toBe(0);
    expect(untimed(jsonLines<Line>(ended))).toEqual(untimed(jsonLines<Line>(flags)));
    expect(jsonLines<Line>(ended).map(({ step }) => step)).toEqual([1, 2]);
    expect(readFileSync(at('recipes/same.safetensors'))).toEqual(
      readFileSync(at('flags.safetensors')),
    );
  });

  test.for([
    ['a folder', () => mkdirSync(at('folder.yaml')), 'folder.yaml', /folder.yaml: is a folder/],
    ['missing', () => {}, 'none.yaml', /none.yaml: no such file/],
    [
      'a bomb',
      () => writeFileSync(at('bomb.yaml'), 'a: *a'),
      'bomb.yaml',
      /bomb.yaml: cannot be read as YAML: Unresolved alias/,
    ],
    [
      'with a key twice',
      () => writeFileSync(at('twice.yaml'), 'base: nano\nbase: nano'),
      'twice.yaml',
      /twice.yaml, line 2: is not YAML: Map keys must be unique/,
    ],
  ] as const)('that is %s is refused', async ([, make, file, message]) => {
    make();
    const { code, stderr, stdout } = await run(['train', file]);
    expect(stderr).toMatch(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  test('with mistakes is refused, all of them at once', async () => {
    const { code, stderr, stdout } = await run(['train', recipe('wrong', 'stesp: 5\nbatch: 0')]);
    expect(stderr).toContain('wrong.yaml: 2 problems');
    expect(stderr).toContain('there is no setting stesp; did you mean steps?');
    expect(stderr).toContain('batch must be at least 1, not 0');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });
});

test('what a run says: to people on stderr before and after, to programs on stdout', async () => {
  const ended = await run(teach('pictures', 'told.pt', '--steps', '2'));
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stderr).toMatch(/^base: nano, 9\.7 M parameters, predicts noise/m);
  expect(ended.stderr).toMatch(/^data: 4 pictures, 64 x 64 pixels, 1 caption$/m);
  expect(ended.stderr).toMatch(/^memory: about [\d.]+ MB \(weights [\d.]+ MB, /m);
  expect(ended.stdout).toMatch(/^told\.pt: what was learned in 2 steps\nruns\/told: recipe/);
  // Nothing that only a terminal understands.
  for (const control of ['\r', '\u001b'])
    expect(ended.stdout + ended.stderr).not.toContain(control);
  expect(readdirSync(at('runs/told')).sort()).toEqual([
    ...['metrics.jsonl', 'recipe.yaml', 'summary.json'],
  ]);
});

test('pictures that are kept back say how the run goes', async () => {
  const kept = ['--validation-images', 'pictures', '--validate-every', '1'];
  const ended = await run(teach('pictures', 'kept.pt', '--steps', '2', '--json', ...kept));
  expect(ended.code, ended.stderr).toBe(0);
  const lines = jsonLines<Line & { readonly validationLoss?: number }>(ended);
  const losses = lines.flatMap(({ step, validationLoss }) =>
    validationLoss === undefined ? [] : [[step, validationLoss.toPrecision(4)] as const],
  );
  expect(losses.map(([step]) => step)).toEqual([0, 1, 2]);
  expect(ended.stderr).toMatch(/^validation: 4 pictures at 8 timesteps each, every 1 step$/m);
  for (const [step, loss] of losses)
    expect(ended.stderr).toContain(`step ${step}: validation loss ${loss}\n`);
  expect(readFileSync(at('runs/kept/metrics.jsonl'), 'utf8')).toBe(ended.stdout);
  const { validation } = parseRecipe(readFileSync(at('runs/kept/recipe.yaml'), 'utf8'));
  expect(validation).toMatchObject({ every: 1, draws: 8 });
  expect(isAbsolute(validation!.images)).toBe(true);
  const summary = JSON.parse(readFileSync(at('runs/kept/summary.json'), 'utf8')) as object;
  expect(summary).toMatchObject({
    ...{ base: { name: 'nano' }, method: 'textual-inversion', parameters: 160, steps: 2 },
    ...{ files: [{ path: '../../kept.pt' }], version: version() },
  });
});

test('captions that are too long are shown with what is cut off', async () => {
  const template = `{} ${'word '.repeat(80)}and the end of it`;
  const ended = await run([
    ...teach('pictures', 'long.pt', '--steps', '1', '--backend', 'null'),
    ...['--template', template],
  ]);
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stderr).toMatch(/1 of 1 captions have more than 75 tokens/);
  expect(ended.stderr).toMatch(/loses ".*and the end of it"/);
});

test('--backend null plans and computes nothing', async () => {
  const ended = await run(teach('pictures', 'null.pt', '--backend', 'null', '--json'));
  expect(ended.code, ended.stderr).toBe(0);
  const [plan, ...more] = jsonLines<{ parameters: number; memory: { total: number } }>(ended);
  expect(more).toEqual([]);
  expect(plan!.parameters).toBe(160);
  expect(plan!.memory.total).toBeGreaterThan(3e7);
  expect([existsSync(at('null.pt')), existsSync(at('runs/null'))]).toEqual([false, false]);
});

test('a run is recorded, and trained again from the record alone', async () => {
  const record = ['--record', 'record.safetensors'];
  const first = await run(teach('pictures', 'first.pt', '--steps', '2', '--json', ...record));
  expect(first.code, first.stderr).toBe(0);
  const again = await run([
    ...['train', 'textual-inversion', '--base', 'nano', '--replay', 'record.safetensors'],
    ...['--token', '<x>', '--init', 'boy', '--lr', '5e-3', '--out', 'again.pt', '--json'],
  ]);
  expect(again.code, again.stderr).toBe(0);
  expect(untimed(jsonLines<Line>(again))).toEqual(untimed(jsonLines<Line>(first)));
});

describe('refused before anything is computed:', () => {
  const refused = async (args: readonly string[], ...said: readonly string[]): Promise<void> => {
    const { code, stdout, stderr } = await run(args);
    for (const text of said) expect(stderr).toContain(text);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).not.toMatch(/^training +\d/m);
  };
  const teachOn = (folderOfPictures: string, ...more: readonly string[]) =>
    teach(folderOfPictures, 'refused.pt', '--steps', '2', ...more);

  test('a folder without pictures', async () => {
    mkdirSync(at('empty'));
    await refused(teachOn('empty'), 'empty has no pictures');
  });
  test('a missing folder', () => refused(teachOn('nowhere'), 'nowhere'));
  test('pictures to validate on that are not there, or not named', async () => {
    await refused(teachOn('pictures', '--validation-images', 'nowhere'), 'nowhere');
    await refused(
      teachOn('pictures', '--validate-every', '0'),
      '--validation-images is missing',
      '--validate-every must be at least 1',
    );
  });
  test('a broken jpeg', async () => {
    mkdirSync(at('broken'));
    writeFileSync(at('broken/half.jpg'), Buffer.from('ffd8ffe000104a46494600010100', 'hex'));
    await refused(teachOn('broken'), 'half.jpg', 'broken');
  });
  test('weights that are NaN', async () => {
    const base = withNaN(at('nan'), 'conv_out.weight');
    await refused(teachOn('pictures', '--base', base), base, 'unet.conv_out.weight', 'NaN');
  });
  test('captions without the word', () =>
    refused(teachOn('pictures', '--template', 'a boy'), 'no caption contains <x>', '--template'));
  test('a result that exists', async () => {
    writeFileSync(at('mine.pt'), 'mine');
    await refused(teach('pictures', 'mine.pt', '--steps', '1'), 'mine.pt', '--force');
    expect(readFileSync(at('mine.pt'), 'utf8')).toBe('mine');
  });
  test('a kind of result that nobody reads', () =>
    refused(
      teach('pictures', 'x.gguf', '--steps', '1'),
      '--out x.gguf',
      '.safetensors, .bin, .pt',
    ));
  test('settings out of range, under the names of their flags', () =>
    refused(teachOn('pictures', '--flip', '2', '--batch', '0'), '--flip must', '--batch must'));
  test('mistakes that are found at different times, under the names of their flags', async () => {
    await refused(
      teachOn('pictures', '--lr', '5e-3:10, 1e-3:x', '--beta1', '1', '--clip=-1'),
      '--lr "5e-3:10, 1e-3:x": "x" is no step',
      '--beta1 must be less than 1',
      '--clip must be',
    );
    await refused(teachOn('pictures', '--lr', '0'), '--lr must be more than 0, not 0');
    await refused(teachOn('pictures', '--optimizer', 'adam'), '--optimizer must be one of adamw');
    await refused(
      teachOn('pictures', '--optimizer', 'lion', '--lr', '1e-4', '--epsilon', '1', '--no-decouple'),
      '--epsilon: lion has no such setting; it has --lr, --beta1, --beta2, --weight-decay',
      '--no-decouple: lion has no such setting',
    );
    await refused(
      teachOn('pictures', '--resolution', '65', '--clip-skip', '99'),
      '--resolution 65: one latent stands for 8 x 8 pixels',
      '64 or 72',
    );
    await refused(teachOn('pictures', '--clip-skip', '99'), '--clip-skip 99 is not possible');
    await refused(teachOn('pictures', '--resolution', 'abc'), '--resolution must', '"abc"');
  });
  test('more than the machine can hold', async () => {
    await refused(
      teachOn('pictures', '--batch', '1000000'),
      '--batch 1000000: a run needs at least',
      'and this machine has',
      'a smaller --resolution',
    );
    expect(existsSync(at('runs/refused'))).toBe(false);
  });
  test('a word that exists', () =>
    refused(
      teachOn('pictures', '--base', goldens('tiny-sd'), '--token', 'cup'),
      '"cup" is in the vocabulary already',
    ));
  test('half precision', () =>
    refused(teachOn('pictures', '--precision', 'f16'), '--precision', 'f32'));
  test('a method that does not exist', () =>
    refused(['train', 'lore', '--base', 'nano'], 'lore', 'textual-inversion', 'lora'));
});

test('an optimizer that needs no rate takes its own flags', async () => {
  const flags = ['--optimizer', 'prodigy', '--no-decouple', '--d-coef', '2', '--backend', 'null'];
  const { code, stdout, stderr } = await run([...teach('pictures', 'x.pt', ...flags), '--json']);
  expect(stderr).toMatch('nothing computed');
  expect(code).toBe(0);
  const [plan] = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { memory: object });
  expect(plan!.memory).toHaveProperty('state');
});

test('a result that cannot be written leaves the state, from which saving goes on', async () => {
  mkdirSync(at('gone'));
  // The folder of the result becomes a file while the run computes.
  const command = [...program, ...teach('pictures', 'gone/x.pt', '--steps', '2', '--json')];
  const quoted = command.map((word) => `'${word}'`).join(' ');
  const { code, stderr } = await runProgram(
    ['bash', '-c', `set -o pipefail; ${quoted} | { head -n 1; rm -r gone; touch gone; cat; }`],
    { cwd: folder },
  );
  expect(stderr).toContain('gone/x.pt: a part of the path is a file, not a folder');
  expect(stderr).toContain(`the state after step 2 is saved: ${join('runs', 'x', 'state', '2')}`);
  expect(code).toBe(2);
  rmSync(at('gone'));
  const resumed = await run(['train', '--resume', 'runs/x']);
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(existsSync(at('gone/x.pt'))).toBe(true);
});

test('a disk that fills up is said, and leaves nothing half-written', async () => {
  mkdirSync(at('tmp'));
  const command = [
    ...program,
    ...['train', 'textual-inversion', '--base', goldens('tiny-sd'), '--token', '<my-cup>'],
    ...['--replay', goldens('train/ti/replay.safetensors'), '--init', 'cup', '--out', 'full.pt'],
    ...['--backend', 'reference'],
  ];
  const quoted = command.map((word) => `'${word}'`).join(' ');
  const { code, stderr } = await runProgram(['bash', '-c', `ulimit -f 0; ${quoted}`], {
    cwd: folder,
    env: { ...process.env, TMPDIR: at('tmp') },
  });
  expect(stderr).toContain('runs/full/recipe.yaml');
  expect(stderr).toMatch(/larger than allowed here/);
  expect(code).toBe(2);
  expect(existsSync(at('full.pt'))).toBe(false);
  expect(readdirSync(at('tmp'))).toEqual([]);
  expect(readdirSync(at('runs/full'))).toEqual([]);
});
