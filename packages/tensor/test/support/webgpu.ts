/** @file The webgpu backend for tests: on a graphics card, or else on SwiftShader where it has been unpacked, which compiles in a tenth of lavapipe's time. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Backend } from '../../src/backend.ts';
import { webgpu, type WebgpuOptions } from '../../src/node/index.ts';
import { findAdapter } from '../../src/node/webgpu/adapter.ts';
import { swiftshaderFolder } from '../../src/node/webgpu/drivers.ts';

const swiftshader = join(swiftshaderFolder(), 'vk_swiftshader_icd.json');
const isSet = process.env['VK_DRIVER_FILES'] ?? process.env['VK_ICD_FILENAMES'];
if (isSet === undefined && existsSync(swiftshader) && !(await findAdapter('gpu')))
  process.env['VK_DRIVER_FILES'] = swiftshader;

export const testedWebgpu = (options: WebgpuOptions = {}): Backend => webgpu(options);
