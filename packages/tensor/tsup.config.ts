import { defineConfig } from 'tsup';
import { shared } from '../../tsup.shared.ts';

export default defineConfig({
  ...shared,
  entry: {
    index: 'src/index.ts',
    'node/index': 'src/node/index.ts',
    // node/index holds what starts the worker, and looks for it beside itself.
    'node/worker': 'src/node/cpu/worker.ts',
  },
});
