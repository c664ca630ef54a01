import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openSafetensors } from '@sdft/models/node';
import { expect, test } from 'vitest';
import { program, runProgram, sdft, temporaryFolder } from './sdft.ts';
import { type Line, pictures, teach, untimed } from './training.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
pictures(folder);

interface Stopped {
  readonly code: number | null;
  readonly stderr: string;
  /** Milliseconds from the last signal to the end. */
  readonly took: number;
}

/** Runs `sdft`, and sends SIGINT once `when` has been said on stdout, and again after each of `pauses` (milliseconds). */
function interrupted(
  args: readonly string[],
  when: RegExp,
  pauses: readonly number[] = [],
): Promise<Stopped> {
  const [command, ...first] = program;
  return new Promise((resolve) => {
    const child = spawn(command, [...first, ...args], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr, last] = ['', '', 0];
    const signal = (): void => {
      last = performance.now();
      child.kill('SIGINT');
    };
    child.stdout.on('data', (text) => {
      stdout += text;
      if (last > 0 || !when.test(stdout)) return;
      signal();
      pauses.reduce((after, pause) => (setTimeout(signal, after + pause), after + pause), 0);
    });
    child.stderr.on('data', (text) => (stderr += text));
    child.on('close', (code) => resolve({ code, stderr, took: performance.now() - last }));
  });
}

const metrics = (run: string): Line[] =>
  readFileSync(at(`runs/${run}/metrics.jsonl`), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

test('Ctrl-C finishes the step and saves; what goes on from there is the same run', async () => {
  const steps = ['--steps', '10', '--batch', '2', '--json'];
  const whole = await sdft(teach('pictures', 'whole.safetensors', ...steps), { cwd: folder });
  expect(whole.code, whole.stderr).toBe(0);

  const { code, stderr } = await interrupted(
    teach('pictures', 'parts.safetensors', ...steps),
    /"step":3,/,
  );
  expect(code, stderr).toBe(130);
  const [, reached = '0', state = ''] =
    /interrupted after step (\d+) of 10; saved (\S+)/.exec(stderr) ?? [];
  expect(Number(reached)).toBeGreaterThanOrEqual(3);
  expect(state).toBe(join('runs/parts/state', reached));
  expect(readdirSync(at(state))).toEqual(['state.safetensors']);
  expect(existsSync(at('parts.safetensors'))).toBe(false);
  expect(stderr).toContain('sdft train --resume runs/parts');

  const resumed = await sdft(['train', '--resume', 'runs/parts', '--json'], { cwd: folder });
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(resumed.stderr).toContain(`going on after step ${reached}`);
  expect(untimed(metrics('parts'))).toEqual(untimed(metrics('whole')));
  expect(readFileSync(at('parts.safetensors'))).toEqual(readFileSync(at('whole.safetensors')));
});

test('a second Ctrl-C stops at once, and nothing on disk is broken', async () => {
  // Steps of some seconds: waiting for one to end would be noticed.
  const slow = ['--steps', '50', '--batch', '48', '--json', '--save-every', '1'];
  const { code, stderr, took } = await interrupted(
    teach('pictures', 'slow.safetensors', ...slow),
    /"step":1,/,
    [400],
  );
  expect(code, stderr).toBe(130);
  expect(stderr).toContain('Press it again to stop at once');
  expect(took).toBeLessThan(1000);
  expect(existsSync(at('slow.safetensors'))).toBe(false);
  const states = readdirSync(at('runs/slow/state'));
  expect(states.filter((name) => !/^\d+$/.test(name))).toEqual([]);
  for (const state of states)
    expect(openSafetensors(at(`runs/slow/state/${state}/state.safetensors`)).tensors.size).toBe(3);
  expect(metrics('slow').length).toBeGreaterThanOrEqual(1);
});

test('--resume of a run that saved nothing begins at the beginning, and says so', async () => {
  const ended = await sdft(
    teach('pictures', 'fresh.pt', '--steps', '1', '--resume', 'runs/fresh'),
    { cwd: folder },
  );
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stderr).toContain('there is no state yet, so the run begins at the beginning');
  expect(readdirSync(at('runs/fresh')).sort()).toEqual([
    ...['metrics.jsonl', 'recipe.yaml', 'summary.json'],
  ]);
});

test('who stops reading what a run prints interrupts it, and the state is saved', async () => {
  const command = [...program, ...teach('pictures', 'piped.pt', '--steps', '60', '--json')];
  const quoted = command.map((word) => `'${word}'`).join(' ');
  const { stdout, stderr } = await runProgram(
    ['bash', '-c', `${quoted} | head -n 1; echo "status ${'${PIPESTATUS[0]}'}"`],
    { cwd: folder },
  );
  expect(stdout).toMatch(/^\{"step":1,.*\}\nstatus 130\n$/);
  expect(stderr).toContain('sdft train --resume runs/piped');
  expect(readdirSync(at('runs/piped/state')).length).toBe(1);
});
