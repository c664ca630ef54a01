import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ViteUserConfig } from 'vitest/config';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// Threads and programs that the tests start keep what Node makes of the sources: a start takes a third of the time.
process.env['NODE_COMPILE_CACHE'] ??= here('.cache/compile');

/** Tests read the TypeScript sources of every package; nothing has to be built first. */
const conditions = ['@sdft/source', 'node', 'module', 'import', 'default'];

export const shared = {
  ssr: { resolve: { conditions } },
  test: {
    environment: 'node',
    pool: 'forks',
    include: ['test/**/*.test.ts'],
    // Graphs outlive a young generation of the usual size: copying them takes a tenth of the time.
    execArgv: ['--conditions=@sdft/source', '--max-semi-space-size=64'],
    testTimeout: 60_000,
    setupFiles: [here('vitest.setup.ts')],
    // tools/test.mjs sums these over the projects.
    reporters: ['default', 'json'],
    outputFile: { json: '.cache/tests.json' },
  },
} satisfies ViteUserConfig;

const swiftshader = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'sdft/swiftshader/vk_swiftshader_icd.json',
);
const hasCard = ['/dev/nvidiactl', '/dev/dri/renderD128'].some(existsSync);
/** Where there is no graphics card, SwiftShader if tools/swiftshader.mjs has unpacked it: it compiles in a tenth of lavapipe's time. */
export const driver: Readonly<Record<string, string>> =
  hasCard || process.env['VK_DRIVER_FILES'] !== undefined || !existsSync(swiftshader)
    ? {}
    : { VK_DRIVER_FILES: swiftshader };

// Vulkan's loader lies beside it, for machines that have none; the processes of the tests inherit where to look.
if (!hasCard && existsSync(swiftshader))
  process.env['LD_LIBRARY_PATH'] = [dirname(swiftshader), process.env['LD_LIBRARY_PATH'] ?? '']
    .filter((path) => path !== '')
    .join(delimiter);
