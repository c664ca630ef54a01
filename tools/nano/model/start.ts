/** @file Writes random weights of nano, in diffusers layout: `node --conditions=@sdft/source tools/nano/model/start.ts FOLDER`. */
import { fileURLToPath } from 'node:url';
import { initCheckpoint } from '@sdft/models/node';
import { nano } from './architecture.ts';

const tokenizerFolder = fileURLToPath(new URL('../tokenizer/files', import.meta.url));
await initCheckpoint({ ...nano, tokenizerFolder }, 0, process.argv[2]!, { force: true });
