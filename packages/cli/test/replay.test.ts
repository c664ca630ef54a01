/** @file Recorded runs of the reference programs, trained again through the command line. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readEmbedding } from '@sdft/methods';
import { describe, expect, test } from 'vitest';
import { goldens, jsonLines, sdft, temporaryFolder } from './sdft.ts';
import { errorOf, numbers } from './tensors.ts';

const folder = temporaryFolder();
const json = <T>(path: string): T => JSON.parse(readFileSync(goldens(path), 'utf8')) as T;

interface Line {
  readonly step: number;
  readonly loss: number;
  readonly lr: number;
  readonly gradNorm: number;
}
interface Noise {
  readonly suggested_tolerance: {
    readonly relative_error_of_update: number;
    readonly loss_abs: number;
  };
}
interface Case {
  readonly name: string;
  readonly flags: readonly string[];
  readonly out: string;
  readonly rates: readonly number[];
  /** First and last values of what is trained. */
  readonly initial: () => Promise<Float32Array>;
  readonly result: () => Promise<Float32Array>;
}

const width = 12;
const vectors = async (path: string): Promise<Float32Array> => (await readEmbedding(path)).values;
const cases: readonly Case[] = [
  {
    name: 'ti',
    flags: [
      ...['--token', '<my-cup>', '--init', 'cup', '--lr', '2e-3', '--schedule', 'linear'],
      ...['--weight-decay', '0.01'],
    ],
    out: 'ti.safetensors',
    rates: [2e-3, 1.6e-3, 1.2e-3, 8e-4, 4e-4],
    initial: async () => {
      const { initializer_token_id: id } = json<{ initializer_token_id: number }>(
        'train/ti/args.json',
      );
      const table = goldens('tiny-sd/text_encoder/model.safetensors');
      const rows = numbers(table, 'text_model.embeddings.token_embedding.weight');
      return rows.slice(id * width, (id + 1) * width);
    },
    result: () => vectors(goldens('train/ti/result.safetensors')),
  },
  {
    name: 'ti_a1111',
    flags: [
      ...['--flavour', 'a1111', '--token', 'ti_a1111', '--vectors', '2'],
      ...['--lr', '0.005:3, 0.001', '--clip', '0.02'],
      ...['--init-from', goldens('train/ti_a1111/initial.pt')],
    ],
    out: 'ti_a1111.pt',
    rates: [5e-3, 5e-3, 5e-3, 1e-3, 1e-3],
    initial: () => vectors(goldens('train/ti_a1111/initial.pt')),
    result: () => vectors(goldens('train/ti_a1111/result.pt')),
  },
];

describe.for(cases)('$name', ({ name, flags, out, rates, initial, result }) => {
  // The reference backend takes seconds; on one case, and one step, it is enough to see that it is reached.
  test.for(name === 'ti' ? ['cpu', 'reference'] : ['cpu'])(
    'on %s: every loss, and the trained rows',
    async (backend) => {
      const steps = backend === 'reference' ? 1 : 5;
      const path = join(folder, `${backend}-${out}`);
      const ended = await sdft(
        [
          ...['train', 'textual-inversion', '--base', goldens('tiny-sd')],
          ...['--replay', goldens(`train/${name}/replay.safetensors`), '--steps', `${steps}`],
          ...['--out', path, '--json', '--backend', backend, ...flags],
        ],
        { cwd: folder },
      );
      expect(ended.code, ended.stderr).toBe(0);
      const lines = jsonLines<Line>(ended);
      const { micro_steps: expected } = json<{ micro_steps: { loss: number }[] }>(
        `train/${name}/loss.json`,
      );
      const { suggested_tolerance: tolerance } = json<Noise>(`train/${name}/noise.json`);
      expect(lines.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5].slice(0, steps));
      lines.forEach(({ loss, lr, gradNorm }, k) => {
        expect(Math.abs(loss - expected[k]!.loss)).toBeLessThanOrEqual(tolerance.loss_abs);
        expect(lr).toBeCloseTo(rates[k]!, 12);
        expect(gradNorm).toBeGreaterThan(0);
      });

      if (steps < 5) return;
      const [from, to, ours] = await Promise.all([initial(), result(), vectors(path)]);
      const update = (values: Float32Array) => values.map((value, i) => value - from[i]!);
      const { rms } = errorOf(update(ours), update(to));
      expect(rms).toBeLessThanOrEqual(tolerance.relative_error_of_update);
    },
  );
});
