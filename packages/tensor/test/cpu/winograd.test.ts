import { describe, expect, it } from 'vitest';
import { apply, type Graph, type Tensor, trace } from '../../src/index.ts';
import { needed } from '../../src/graph/walk.ts';
import type { Size4 } from '../../src/node/cpu/lowering.ts';
import { isFasterInTiles, kernelsInTiles, transformKernel } from '../../src/node/cpu/winograd.ts';
import { cpu } from '../../src/node/index.ts';
import { compute, drawn, expectNear } from './support/compute.ts';
import { modelOf, operators } from './support/lowered.ts';

const same3 = { stride: [1, 1], padding: [1, 1, 1, 1] } as const;
const tileBytes = (o: number, c: number) => 64 * o * c;

/** A convolution, one with a bias, and the gradient of its input. */
const graphOf = ([n, c, h, w]: Size4, o: number): Graph =>
  trace((t) => {
    const x = t.input('x', [n, c, h, w]);
    const dy = t.input('dy', [n, o, h, w]);
    const kernel = t.weight('kernel', [o, c, 3, 3]);
    const bias = t.weight('bias', [o]).reshape([1, -1, 1, 1]);
    return {
      outputs: {
        forward: apply('conv2d', [x, kernel], same3),
        'with bias': apply('conv2d', [x.mul(2), kernel], same3).add(bias),
        gradient: apply('conv2dGradInput', [dy, kernel], { ...same3, size: [h, w] }),
      },
    };
  });

describe('convolutions in tiles', () => {
  it.for<readonly [Size4, number]>([
    [[1, 256, 16, 16], 256],
    [[1, 264, 14, 22], 256],
    [[3, 256, 16, 18], 272],
  ])('%o to %i channels: as ONNX Runtime convolves', async ([x, o]) => {
    const graph = graphOf(x, o);
    expect(operators(modelOf(graph))).toMatchObject({ DepthToSpace: 3 });
    const values = drawn(graph);
    const plain = await compute(cpu({ packBytes: 0 }), graph, values);
    expectNear(await compute(cpu(), graph, values), plain, 20);
  });

  it('leaves to ONNX Runtime what has no room, and what is not frozen', () => {
    const graph = graphOf([1, 256, 16, 16], 256);
    const without = (model: Record<string, number>) => {
      expect(model).toMatchObject({ Conv: 2, ConvTranspose: 1 });
      expect(model).not.toHaveProperty('DepthToSpace');
    };
    without(operators(modelOf(graph, { packBytes: tileBytes(256, 256) - 1 })));
    const given = trace((t) => {
      const x = t.input('x', [1, 256, 16, 16]);
      const kernel = t.input('kernel', [256, 256, 3, 3]);
      const y = apply('conv2d', [x, kernel], same3);
      const options = { ...same3, size: [16, 16] as const };
      return { outputs: { y, again: y.exp().mul(apply('conv2dGradInput', [y, kernel], options)) } };
    });
    expect(operators(modelOf(given))).not.toHaveProperty('DepthToSpace');
  });
});

describe('which kernels', () => {
  it('by shape', () => {
    const faster = (
      pictures: Size4,
      kernel: Size4,
      { stride = [1, 1], padding = [1, 1, 1, 1] }: Partial<Parameters<typeof isFasterInTiles>[2]>,
    ) => isFasterInTiles(pictures, kernel, { stride, padding });
    const kernel = [320, 320, 3, 3] as const;
    expect(faster([1, 320, 32, 32], kernel, {})).toBe(true);
    expect(faster([1, 320, 16, 16], kernel, {})).toBe(true);
    expect(faster([1, 320, 15, 32], kernel, {})).toBe(false);
    expect(faster([1, 320, 8, 8], kernel, {})).toBe(false);
    expect(faster([1, 320, 32, 32], [320, 128, 3, 3], {})).toBe(false);
    expect(faster([1, 320, 32, 32], [320, 320, 1, 1], { padding: [0, 0, 0, 0] })).toBe(false);
    expect(faster([1, 320, 32, 32], kernel, { stride: [2, 2] })).toBe(false);
    expect(faster([1, 320, 32, 32], kernel, { padding: [0, 0, 2, 2] })).toBe(false);
    // A decoder's pictures: their tiles would take gigabytes.
    expect(faster([1, 256, 256, 256], [256, 256, 3, 3], {})).toBe(false);
  });

  it('those first that are used for the most pixels', () => {
    const graph = trace((t) => {
      const conv = (x: Tensor, name: string) =>
        apply('conv2d', [x, t.weight(name, [256, 256, 3, 3])], same3);
      const small = t.input('small', [1, 256, 16, 16]);
      const large = t.input('large', [1, 256, 32, 32]);
      return {
        outputs: {
          a: conv(conv(small, 'once'), 'twice'),
          b: conv(small.exp(), 'twice'),
          c: conv(large, 'large'),
        },
      };
    });
    const chosen = (room: number) => [
      ...kernelsInTiles(graph, needed(graph), room * tileBytes(256, 256)),
    ];
    expect(chosen(3)).toEqual(['large', 'twice', 'once']);
    expect(chosen(2.5)).toEqual(['large', 'twice']);
    expect(chosen(0.5)).toEqual([]);
  });

  it('are transformed: of one that is its centre alone', () => {
    const kernel = new Float32Array(9);
    kernel[4] = 4;
    // The outer rows and columns of G g G' see nothing of the centre.
    expect([...transformKernel(kernel, [1, 1, 3, 3])]).toEqual([
      0, 0, 0, 0, 0, 1, -1, 0, 0, -1, 1, 0, 0, 0, 0, 0,
    ]);
  });
});
