/** @file The examples in documents are these files, and these files run. */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { openSafetensors } from '@sdft/models/node';
import { expect, test } from 'vitest';
import { pathOf, temporaryFolder } from '../support/fixtures.ts';

const folder = temporaryFolder();
const pictures = pathOf('packages/nano/outline/train');
mkdirSync(join(folder, 'photos/boy'), { recursive: true });
for (const name of readdirSync(pictures)
  .filter((file) => file.endsWith('.png'))
  .slice(0, 3))
  copyFileSync(join(pictures, name), join(folder, 'photos/boy', name));

test.for([
  ['docs/methods/write-your-own.md', 'writeYourOwn.ts', 'steps(200)', '**.to_v.scale'],
  ['docs/custom-kernels.md', 'customKernel.ts', 'steps(200)', '**.to_v.down'],
  ['packages/methods/README.md', 'readme.ts', 'steps(2000)', '<boy>'],
] as const)('%s shows what runs', ([document, file, steps, learned]) => {
  const code = readFileSync(pathOf(`packages/methods/test/docs/${file}`), 'utf8').replace(
    "'./sdft.ts'",
    "'@sdft/methods'",
  );
  expect(readFileSync(pathOf(document), 'utf8')).toContain(`\`\`\`ts\n${code}\`\`\``);
  expect(code.trimEnd().split('\n').length).toBeLessThan(40);
  expect(code).toContain(steps);

  // Beside the original, so that the packages are found.
  const short = pathOf(`packages/methods/test/docs/short-${file}`);
  writeFileSync(
    short,
    code.replace(steps, 'steps(2)').replaceAll('% 50', '% 1').replaceAll('% 100', '% 1'),
  );
  try {
    const { status, stderr, stdout } = spawnSync(
      process.execPath,
      ['--conditions=@sdft/source', short],
      { cwd: folder, encoding: 'utf8' },
    );
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[0]),
    ).toEqual(['1', '2']);
  } finally {
    rmSync(short);
  }
  const names = [...openSafetensors(join(folder, 'boy.safetensors')).tensors.keys()];
  expect(names.some((name) => name.endsWith(learned.replace('**', '')))).toBe(true);
  expect(existsSync(join(folder, 'boy.png'))).toBe(true);
  for (const written of ['boy.safetensors', 'boy.png']) rmSync(join(folder, written));
});
