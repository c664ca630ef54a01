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

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Graphics cards, as WebGPU finds them. */
export async function webgpu(): Promise<Finding> {
  const name = 'webgpu backend';
  try {
    const { inspectWebgpu } = await import('@sdft/tensor/node');
    const report = await inspectWebgpu();
    if ('mend' in report)
      return {
        ...{ name, state: 'absent', found: 'no graphics card that WebGPU finds' },
        mend: `--backend cpu computes on the processor. ${report.mend}`,
      };
    const { target, software, features } = report;
    const matrix = target.subgroupMatrix;
    const able = [
      target.f16 ? 'f16' : 'no f16',
      matrix ? `matrix units (${matrix.m}x${matrix.n}x${matrix.k})` : 'no matrix units',
      `buffers up to ${gib(target.bufferBytes)}, ${gib(target.bindingBytes)} at a time`,
    ].join(', ');
    return {
      name,
      state: software ? 'absent' : 'ok',
      found: software
        ? `${report.name} computes on the processor, slower than --backend cpu does`
        : `${report.name}: ${able}`,
      facts: { software, features, target },
      ...(software && { mend: 'for a graphics card, see that its Vulkan driver is installed' }),
    };
  } catch (error) {
    return {
      ...{ name, state: 'absent', found: lineOf(error) },
      mend: '--backend cpu computes on the processor',
    };
  }
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
