import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import type { ViteUserConfig } from 'vitest/config';

/** Tests read the TypeScript sources of every package; nothing has to be built first. */
const conditions = ['@sdft/source', 'node', 'module', 'import', 'default'];

export const shared = {
  ssr: { resolve: { conditions } },
  test: {
    environment: 'node',
    pool: 'forks',
    include: ['test/**/*.test.ts'],
    execArgv: ['--conditions=@sdft/source'],
    testTimeout: 60_000,
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
