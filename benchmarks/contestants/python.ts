/** @file Whether the other side can run here. */
import { spawnSync } from 'node:child_process';

const needed = ['torch', 'diffusers', 'transformers', 'safetensors'];

/** What `python` lacks: packages, or itself; undefined where it can run the other side. Nothing of it is loaded, only looked up. */
export function lackOf(python: string): string | undefined {
  const script = `import importlib.util as u, sys; print(*[n for n in sys.argv[1:] if u.find_spec(n) is None], sep=", ")`;
  const { status, stdout, stderr, error } = spawnSync(python, ['-c', script, ...needed], {
    encoding: 'utf8',
  });
  if (error) return `${python} could not be started (${error.message})`;
  if (status !== 0) return `${python} failed: ${stderr.trim()}`;
  const missing = stdout.trim();
  return missing === '' ? undefined : `${python} has no ${missing}`;
}
