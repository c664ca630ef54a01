/** @file Which Vulkan driver Dawn is to find, where the system does not say so itself. */
import { existsSync, globSync, mkdirSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where containers get NVIDIA's driver. */
const NVIDIA = '/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json';
const LAVAPIPE = '/usr/share/vulkan/icd.d/lvp_icd*.json';

/** Where SwiftShader lies once it has been unpacked (tools/swiftshader.mjs). */
export const swiftshaderFolder = (): string =>
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sdft', 'swiftshader');

const chosen = (): boolean =>
  process.env['VK_DRIVER_FILES'] !== undefined || process.env['VK_ICD_FILENAMES'] !== undefined;

/** What has to be set before each attempt to find an adapter, in order. An attempt that sets nothing comes first. */
export function attempts(): readonly Readonly<Record<string, string>>[] {
  if (chosen()) return [{}];
  const nvidia = existsSync(NVIDIA) ? [{ VK_DRIVER_FILES: NVIDIA }] : [];
  const lavapipe = globSync(LAVAPIPE).slice(0, 1);
  const swiftshader = join(swiftshaderFolder(), 'vk_swiftshader_icd.json');
  const software = [...lavapipe, ...(existsSync(swiftshader) ? [swiftshader] : [])];
  return [...nvidia, {}, ...software.map((file) => ({ VK_DRIVER_FILES: file }))];
}

/** Mesa's drivers want a folder of their own to be named. */
export function prepareEnvironment(): void {
  if (process.env['XDG_RUNTIME_DIR'] !== undefined || process.platform !== 'linux') return;
  const folder = join(tmpdir(), `sdft-runtime-${process.getuid?.() ?? 0}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  process.env['XDG_RUNTIME_DIR'] = folder;
}
