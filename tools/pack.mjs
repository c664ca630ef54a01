// Packs every package as it would be published. node tools/pack.mjs   writes to .cache/packed; the packages have to be built
import { existsSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { output, root } from './process.mjs';

const folder = join(root, '.cache/packed');

/** @typedef {{ name: string, version: string, tarball: string }} Packed */

/**
 * @returns {Packed[]} in the order of their names
 * @throws {Error} where a package is not built
 */
export function pack() {
  const manifests = globSync('packages/*/package.json', { cwd: root }).sort();
  const unbuilt = manifests
    .map(dirname)
    .filter((path) => !existsSync(join(root, path, 'dist/index.js')));
  if (unbuilt.length > 0)
    throw new Error(`Not built: ${unbuilt.join(', ')}. Run npm run build first.`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  output('npm', ['pack', '--workspaces', '--pack-destination', folder, '--silent']);
  return manifests.map((path) => {
    const { name, version } = JSON.parse(readFileSync(join(root, path), 'utf8'));
    const tarball = join(folder, `${name.replace('@', '').replace('/', '-')}-${version}.tgz`);
    if (!existsSync(tarball)) throw new Error(`internal: npm pack wrote no ${tarball}`);
    return { name, version, tarball };
  });
}
