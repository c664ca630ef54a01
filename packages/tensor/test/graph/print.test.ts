import { expect, it } from 'vitest';
import { printGraph } from '../../src/graph/print.ts';
import { grad, softmax, trace } from '../../src/index.ts';

it('shows inputs, operations with attributes and types, layers, regions and results', () => {
  const graph = trace((t) => {
    const x = t.input('x', [2, 3]);
    const p = t.state('p', [3, 2]);
    const w = t.weight('proj.weight', [2, 2]);
    const y = t.at('unet.mid_block', () =>
      t.recompute(() => softmax(x.matmul(p).mul(0.5).reshape([4]))),
    );
    const z = y
      .add(t.constant([1, 2, 3, 4]))
      .reshape([2, 2])
      .matmul(w, { transposeB: true });
    return {
      outputs: { loss: z.sum(), table: t.constant([1, 2, 3, 4, 5, 6, 7]).less(2) },
      updates: { p: p.neg() },
    };
  });
  expect(printGraph(graph)).toMatchInlineSnapshot(`
    "%0 = input x : f32 [2, 3]
    %1 = state p : f32 [3, 2]
    %2 = weight proj.weight : f32 [2, 2]
    %3 = matmul(%0, %1) transposeA=false transposeB=false : f32 [2, 2]  # unet.mid_block, recompute 1
    %4 = constant 0.5 : f32 []  # unet.mid_block
    %5 = reshape(%4) shape=[1, 1] : f32 [1, 1]  # unet.mid_block, recompute 1
    %6 = broadcast(%5) shape=[2, 2] : f32 [2, 2]  # unet.mid_block, recompute 1
    %7 = mul(%3, %6) : f32 [2, 2]  # unet.mid_block, recompute 1
    %8 = reshape(%7) shape=[4] : f32 [4]  # unet.mid_block, recompute 1
    %9 = softmax(%8) axis=0 : f32 [4]  # unet.mid_block, recompute 1
    %10 = constant 1, 2, 3, 4 : f32 [4]
    %11 = add(%9, %10) : f32 [4]
    %12 = reshape(%11) shape=[2, 2] : f32 [2, 2]
    %13 = matmul(%12, %2) transposeA=false transposeB=true : f32 [2, 2]
    %14 = reduceSum(%13) axes=[0, 1] : f32 [1, 1]
    %15 = reshape(%14) shape=[] : f32 []
    %16 = constant 1, 2, 3, 4, 5, 6, ... : f32 [7]
    %17 = constant 2 : f32 []
    %18 = reshape(%17) shape=[1] : f32 [1]
    %19 = broadcast(%18) shape=[7] : f32 [7]
    %20 = less(%16, %19) : bool [7]
    %21 = neg(%1) : f32 [3, 2]
    output loss = %15
    output table = %20
    update p = %21"
  `);
});

it('shows what grad adds, with the layers of what it differentiates', () => {
  const graph = trace((t) => {
    const x = t.input('x', [3]);
    const loss = t.at('layer', () => x.exp()).sum();
    return { outputs: { slope: grad(loss, [x])[0]! } };
  });
  expect(printGraph(graph)).toMatchInlineSnapshot(`
    "%0 = input x : f32 [3]
    %1 = exp(%0) : f32 [3]  # layer
    %2 = reduceSum(%1) axes=[0] : f32 [1]
    %3 = reshape(%2) shape=[] : f32 []
    %4 = constant 1 : f32 []
    %5 = reshape(%4) shape=[1] : f32 [1]
    %6 = broadcast(%5) shape=[3] : f32 [3]
    %7 = mul(%6, %1) : f32 [3]  # layer
    output slope = %7"
  `);
});
