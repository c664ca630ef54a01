import { type Finding, lineOf } from './check.ts';

const SIZE = 1024;
const PRODUCTS = 8;
const RUNS = 4;

/** ONNX Runtime: whether it loads, computes correctly, and how fast. */
export async function cpuBackend(): Promise<Finding> {
  const name = 'cpu backend';
  try {
    const gflops = await matmulRate();
    return {
      name,
      state: 'ok',
      found: `ONNX Runtime multiplies ${SIZE} x ${SIZE} matrices at ${gflops.toFixed(0)} GFLOP/s`,
      facts: { gflops },
    };
  } catch (error) {
    return {
      name,
      state: 'broken',
      found: lineOf(error),
      mend: 'install again with ONNXRUNTIME_NODE_INSTALL=skip npm install -g @sdft/cli; ONNX Runtime has prebuilt libraries for Linux (glibc 2.28 or newer), Windows and macOS on x64 and arm64',
    };
  }
}

/** The fastest of a few runs of chained products, in 10^9 floating-point operations a second. Throws where a product is wrong. */
async function matmulRate(): Promise<number> {
  const [{ hostArray, internal, trace }, { cpu }] = await Promise.all([
    import('@sdft/tensor'),
    import('@sdft/tensor/node'),
  ]);
  const graph = trace((t) => {
    const w = t.input('w', [SIZE, SIZE]);
    let x = t.input('x', [SIZE, SIZE]);
    for (let i = 0; i < PRODUCTS; i++) x = x.matmul(w);
    return { outputs: { trace: x.mean() } };
  });
  const executable = await cpu().compile(graph);
  try {
    const constant = (value: number) =>
      hostArray(new Float32Array(SIZE * SIZE).fill(value), [SIZE, SIZE]);
    // Each product of x by w = 1/SIZE everywhere leaves a constant x as it is.
    const inputs = { x: constant(3), w: constant(1 / SIZE) };
    let fastest = Number.POSITIVE_INFINITY;
    for (let run = 0; run < RUNS; run++) {
      const began = performance.now();
      const { trace: mean } = await executable.run(inputs);
      fastest = Math.min(fastest, performance.now() - began);
      const value = mean?.data[0];
      if (value === undefined || Math.abs(value - 3) > 1e-3)
        throw internal(`a product of known value came out as ${value}`);
    }
    return (2 * SIZE ** 3 * PRODUCTS) / (fastest * 1e6);
  } finally {
    await executable.dispose();
  }
}

/** Graphics cards. */
export function webgpu(): Finding {
  return {
    name: 'webgpu backend',
    state: 'absent',
    found: 'not in this version; --backend cpu computes on the processor',
  };
}

/** Decoding and writing pictures. */
export async function pictures(): Promise<Finding> {
  const name = 'pictures';
  try {
    const [{ encodePng }, { hostArray }, { default: sharp }] = await Promise.all([
      import('@sdft/data/node'),
      import('@sdft/tensor'),
      import('sharp'),
    ]);
    await encodePng(hostArray(new Uint8Array(12), [2, 2, 3]));
    return { name, state: 'ok', found: `sharp with libvips ${sharp.versions.vips}` };
  } catch (error) {
    return {
      name,
      state: 'broken',
      found: lineOf(error),
      mend: 'install again; sharp has prebuilt libraries, which `npm install --omit=optional` leaves out',
    };
  }
}
