// A compute thread that answers `create`, and at `run` ends: by an error that nobody catches, or silently.
import { parentPort, workerData } from 'node:worker_threads';

parentPort.on('message', ({ kind, call }) => {
  if (kind !== 'run') parentPort.postMessage({ call });
  else if (workerData === 'throw') throw new Error('out of the blue');
  else process.exit(3);
});
