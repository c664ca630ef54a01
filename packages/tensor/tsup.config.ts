import { defineConfig } from 'tsup';
import { shared } from '../../tsup.shared.ts';

export default defineConfig({
  ...shared,
  entry: {
    index: 'src/index.ts',
    'node/index': 'src/node/index.ts',
    // node/index holds what starts the workers, and looks for them beside itself.
    'node/worker': 'src/node/cpu/worker.ts',
    'node/updateWorker': 'src/node/cpu/updates/worker.ts',
  },
});
