import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { goldens, jsonLines, sdft, temporaryFolder } from './sdft.ts';

const folder = temporaryFolder();
const photos = goldens('train/images');

test('sdft prepare makes a folder that trains, and says what became of each picture', async () => {
  const out = join(folder, 'ready');
  const ended = await sdft([
    ...['prepare', photos, '--out', out, '--resolution', '64', '--fit', 'pad', '--json'],
  ]);
  expect(ended.code).toBe(0);
  const records = jsonLines(ended);
  expect(records.map(({ from }) => from)).toEqual(
    readdirSync(photos)
      .filter((name) => /\.(png|jpe?g)$/.test(name))
      .sort(),
  );
  expect(records[0]).toMatchObject({ size: { width: 64, height: 64 }, cut: 0 });
  expect(ended.stderr).toMatch(/ready: \d+ pictures, 64 x 64 pixels/);
  const again = await sdft(['prepare', photos, '--out', out]);
  expect(again.code).toBe(2);
  expect(again.stderr).toMatch(
    /--out .*ready: exists already; nothing is overwritten without --force/,
  );
});

test.for([
  [['--fit', 'stretch'], /Allowed choices are crop, pad, bucket/],
  [['--background', '#fff'], /--background goes with --fit pad; it is crop/],
  [['--fit', 'pad', '--background', 'red'], /must be a colour such as #ffffff, not 'red'/],
  [['--resolution', '5'], /--resolution must be WIDTHxHEIGHT/],
] as const)('refused: %j', async ([flags, what]) => {
  const { code, stderr } = await sdft([
    ...['prepare', photos, '--out', join(folder, 'not'), ...flags],
  ]);
  expect(stderr).toMatch(what);
  expect(code).toBe(2);
});
