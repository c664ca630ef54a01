import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { type HostArray, hostArray, trace, UserError } from '../../src/index.ts';
import { explain } from '../../src/node/cpu/failures.ts';
import { encodeModel, type OnnxModel } from '../../src/node/cpu/onnx.ts';
import { Runtime } from '../../src/node/cpu/runtime.ts';
import { share } from '../../src/node/cpu/sharedTensor.ts';
import { cpu } from '../../src/node/index.ts';

const options = { prepacking: true, memoryPattern: false, arena: true };

const shared = (name: string, shape: readonly number[] = [2]) =>
  share(name, { shape, dtype: 'f32' });

describe('the compute thread', () => {
  /** A runtime whose first thread ends at its first run; the others are real. */
  const failing = (how: 'throw' | 'exit'): Runtime => {
    let started = 0;
    return new Runtime(() =>
      started++ === 0
        ? new Worker(new URL('children/crashing.mjs', import.meta.url), { workerData: how })
        : new Worker(new URL('../../src/node/cpu/worker.ts', import.meta.url)),
    );
  };
  const value = (name: string) => ({ name, type: 'f32' as const, shape: [2] });
  const model = encodeModel({
    nodes: [
      { opType: 'Neg', domain: '', name: 'n', inputs: ['x'], outputs: ['y'], attributes: {} },
    ],
    initializers: [],
    inputs: [value('x')],
    outputs: [value('y')],
    plain: new Set(),
  });
  it.for([
    {
      how: 'throw' as const,
      message: /^internal: .*thread has ended \(out of the blue\).*compile/,
    },
    { how: 'exit' as const, message: /^internal: .*thread has ended \(exit status 3\).*compile/ },
  ])(
    'that ends ($how) rejects all that wait for it, and the next compile starts another',
    async ({ how, message }) => {
      const runtime = failing(how);
      const [one, two] = await Promise.all([
        runtime.create(model, '/', options),
        runtime.create(model, '/', options),
      ]);
      const runs = [one.run([], []), two.run([], [])];
      for (const run of runs) await expect(run).rejects.toThrow(message);
      await expect(one.run([], [])).rejects.toThrow(message);

      const three = await runtime.create(model, '/', options);
      const [x, y] = [shared('x'), shared('y')];
      new Float32Array(x.buffer).set([1, 2]);
      await three.run([x], [y]);
      expect([...new Float32Array(y.buffer)]).toEqual([-1, -2]);
      // What belonged to the first thread goes without disturbing the second.
      await one.release();
      await one.release();
      await two.release();
      await three.run([x], [y]);
      await three.release();
      await expect(three.run([x], [y])).rejects.toThrow(/let go of/);
    },
  );
});

describe('a model that ONNX Runtime refuses', () => {
  const refused = async (nodes: OnnxModel['nodes']) => {
    const value = (name: string) => ({ name, type: 'f32' as const, shape: [2, 3] });
    const model = encodeModel({
      nodes,
      initializers: [],
      inputs: [value('x')],
      outputs: [value('y')],
      plain: new Set(),
    });
    // Lengths are looked at where it runs, operators where it is loaded.
    const tried = async (): Promise<void> => {
      const session = await new Runtime().create(model, '/', options);
      await session.run([shared('x', [2, 3])], [shared('y', [2, 3])]).finally(session.release);
    };
    return tried().then(
      () => expect.fail('it was not refused'),
      (error: unknown) => error as Error,
    );
  };
  const node = (opType: string, inputs: string[], layer: string) => ({
    opType,
    domain: '' as const,
    name: `${layer}/${opType}_7`,
    inputs,
    outputs: ['y'],
    attributes: {},
  });

  it.for(['unet.down_blocks.0.attentions.0.to_q', 'a layer (of a strange name)'])(
    'is our fault, and says in which layer: %s',
    async (layer) => {
      const error = await refused([node('MatMul', ['x', 'x'], layer)]);
      expect(error).not.toBeInstanceOf(UserError);
      expect(error.message).toMatch(/^internal: ONNX Runtime in /);
      expect(error.message).toContain(`in ${layer}: `);
    },
  );
  it('has no layer where the operator has none', async () => {
    expect((await refused([node('Nonsense', ['x'], '')])).message).toMatch(
      /^internal: ONNX Runtime: /,
    );
  });
});

describe('too little memory', () => {
  it('for a step is the user’s to mend, and says in which layer', async () => {
    // 2^46 numbers: more than any machine addresses.
    const n = 2 ** 23;
    const graph = trace((t) => {
      const x = t.input('x', [n, 1]);
      return {
        outputs: {
          y: t.at('unet.mid_block', () => x.matmul(x, { transposeB: true }).exp().sum()),
        },
      };
    });
    const executable = await cpu({ threads: 1 }).compile(graph);
    const failure = await executable
      .run({ x: hostArray(new Float32Array(n), [n, 1]) as HostArray })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UserError);
    expect((failure as Error).message).toMatch(
      /^not enough memory in unet\.mid_block for 281474977 MB more\. Lower the resolution/,
    );
    await executable.dispose();
  });

  it('for inputs too', async () => {
    const graph = trace((t) => ({
      outputs: {
        y: t
          .input('x', [2 ** 25, 2 ** 25])
          .slice(0, 0, 1)
          .slice(1, 0, 1),
      },
    }));
    const compiled = cpu({ threads: 1 }).compile(graph);
    await expect(compiled).rejects.toThrow(UserError);
    await expect(cpu({ threads: 1 }).compile(graph)).rejects.toThrow(/^not enough memory/);
  });
});

describe('messages of ONNX Runtime', () => {
  it.for<[string, RegExp]>([
    [
      "Cannot find package 'onnxruntime-node' imported from worker.js",
      /^the cpu backend needs onnxruntime-node/,
    ],
    [
      "Cannot find module '../bin/napi-v6/linux/x64/onnxruntime_binding.node'",
      /could not be loaded.*Install it again/,
    ],
    ['std::bad_alloc', /^not enough memory \(std::bad_alloc\)/],
    [
      "Non-zero status code returned while running Mul node. Name:'unet.mid_block/Mul_12' Status Message: bfc_arena.cc Failed to allocate memory for requested buffer of size 99",
      /^not enough memory in unet\.mid_block for 1 MB more\./,
    ],
    [
      "running Gather node. Name:'t.e/Gather_4' Status Message: indices element out of data bounds, idx=-4 must be within the inclusive range [-3,2]",
      /^gather in t\.e: index -1 is not among the 3 rows of the table$/,
    ],
  ])('%s', ([message, wanted]) => {
    const error = explain(message);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(wanted);
  });
  it('that nobody can mend are ours', () => {
    expect(explain('surprise').message).toBe('internal: ONNX Runtime: surprise');
    expect(explain('surprise')).not.toBeInstanceOf(UserError);
  });
});
