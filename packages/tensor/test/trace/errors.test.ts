import { describe, expect, it } from 'vitest';
import {
  apply,
  attention,
  concat,
  grad,
  groupNorm,
  layerNorm,
  softmax,
  type Tensor,
  trace,
  type Tracer,
  UserError,
} from '../../src/index.ts';

const layer = 'unet.down_blocks.0';
const tracing = (body: (t: Tracer, x: Tensor) => Tensor) => () =>
  trace((t) => ({ outputs: { y: t.at(layer, () => body(t, t.input('x', [2, 3]))) } }));

describe('what does not fit is refused with operation, shapes and layer', () => {
  it.each<[string, (t: Tracer, x: Tensor) => Tensor, string]>([
    [
      'sum of shapes',
      (t, x) => x.add(t.input('b', [4])),
      'shapes [2, 3] and [4] do not broadcast: axis -1 has lengths 3 and 4',
    ],
    ['sum of types', (t, x) => x.add(t.input('b', [2, 3], 'i32')), 'types f32 and i32 differ'],
    ['sum of truth values', (_, x) => x.less(0).add(x.less(1)), 'does not work on bool'],
    [
      'sum of codes',
      (t) => t.state('u', [2], 'u8').add(t.state('w', [2], 'u8')),
      'does not work on u8',
    ],
    [
      'codes of numbers',
      (_, x) => x.cast('u8'),
      'u8 is cast from and to i32 only, not from f32 to u8',
    ],
    ['comparison of truth values', (_, x) => x.less(0).less(x.less(1)), 'less in'],
    ['exponential of integers', (_, x) => x.cast('i32').exp(), 'exp in'],
    ['where without a condition', (_, x) => x.where(x, 0), 'needs a bool condition, got f32'],
    ['where of shapes', (t, x) => x.less(0).where(t.input('b', [5, 1, 4]), 0), 'where in'],
    [
      'matmul of lengths',
      (_, x) => x.matmul(x),
      'cannot multiply [2, 3] x [2, 3]: inner lengths 3 and 2 differ',
    ],
    [
      'matmul of transposed',
      (t, x) => x.matmul(t.input('b', [4, 5]), { transposeB: true }),
      '[2, 3] x [4, 5] transposed',
    ],
    [
      'matmul of batches',
      (t, x) =>
        t
          .input('b', [2, 1, 1])
          .matmul(t.input('c', [3, 1, 1]))
          .add(x),
      'matmul in',
    ],
    [
      'matmul of a row',
      (t, x) => x.matmul(t.input('b', [3])),
      'needs at least two axes, got [2, 3] and [3]',
    ],
    ['reshape', (_, x) => x.reshape([4, 2]), 'cannot see [2, 3] as [4, 2]: 6 and 8 elements'],
    ['reshape with a rest', (_, x) => x.reshape([4, -1]), 'cannot see [2, 3] as [4, -1]'],
    ['reshape with two rests', (_, x) => x.reshape([-1, -1]), 'cannot see [2, 3] as [-1, -1]'],
    ['permute', (_, x) => x.permute([0, 0]), 'permute in'],
    ['axis', (_, x) => x.sum(2), 'there is no axis 2 in a tensor of rank 2'],
    ['axis of max', (_, x) => x.max(-3), 'there is no axis -3 in a tensor of rank 2'],
    ['transpose', (_, x) => x.transpose(0, 2), 'transpose in'],
    ['squeeze', (_, x) => x.squeeze(0), 'axis 0 of [2, 3] is not of length 1'],
    ['broadcast', (_, x) => x.broadcastTo([2, 4]), 'cannot repeat [2, 3] to [2, 4]'],
    ['broadcast to fewer axes', (_, x) => x.broadcastTo([3]), 'cannot repeat [2, 3] to [3]'],
    ['pad', (_, x) => x.pad([[0, -1]]), 'pad in'],
    [
      'pad of axes that are not',
      (_, x) =>
        x.pad([
          [1, 1],
          [1, 1],
          [1, 1],
        ]),
      '3 widths for the axes of [2, 3]',
    ],
    ['slice', (_, x) => x.slice(1, 2, 5), 'cannot take [0, 2] to [2, 5] of [2, 3]'],
    ['chunk', (_, x) => x.chunk(2, 1)[0]!, '[2, 3] has no 2 equal parts along axis 1'],
    [
      'concat',
      (t, x) => concat([x, t.input('b', [2, 4])]),
      'cannot join [2, 3], [2, 4] along axis 0',
    ],
    ['concat along no axis', (_, x) => concat([x, x], 2), 'there is no axis 2'],
    ['gather', (_, x) => x.gather(x), 'indices must be i32, got f32'],
    ['softmax', (_, x) => softmax(x, 2), 'softmax in'],
    [
      'attention',
      (t, x) => attention(x.unsqueeze(0), t.input('k', [1, 2, 4]), x.unsqueeze(0), { heads: 1 }),
      'q, k, v of [1, 2, 3], [1, 2, 4], [1, 2, 3] do not fit',
    ],
    [
      'heads',
      (_, x) => attention(x.unsqueeze(0), x.unsqueeze(0), x.unsqueeze(0), { heads: 2 }),
      'do not divide into 2 heads',
    ],
    [
      'causal',
      (t, x) =>
        attention(x.unsqueeze(0), t.input('k', [1, 5, 3]), t.input('v', [1, 5, 3]), {
          heads: 1,
          causal: true,
        }),
      'as many queries as keys',
    ],
    [
      'layerNorm',
      (t, x) => layerNorm(x, t.input('gamma', [2]), t.input('beta', [3])),
      '[2, 3] and [2]',
    ],
    [
      'groupNorm',
      (t, x) => groupNorm(x, t.input('gamma', [3]), t.input('beta', [3]), { groups: 2, eps: 0 }),
      'the channels of [2, 3] do not divide into 2 groups',
    ],
    [
      'channels of a convolution',
      (t) => conv(t, [1, 3, 4, 4], [2, 4, 3, 3]),
      'input has 3 channels, the kernel [2, 4, 3, 3] expects 4',
    ],
    [
      'rank of a convolution',
      (t) => conv(t, [3, 4, 4], [2, 3, 3, 3]),
      'got f32 [3, 4, 4] and f32 [2, 3, 3, 3]',
    ],
    [
      'kernel',
      (t) => conv(t, [1, 3, 2, 2], [2, 3, 3, 3]),
      'a 3x3 kernel does not fit into [1, 3, 2, 2] padded by 0,0,0,0',
    ],
    [
      'stride',
      (t) => conv(t, [1, 3, 4, 4], [2, 3, 3, 3], [0, 1]),
      'the stride must be two integers from 1 upward, got [0, 1]',
    ],
  ])('%s', (_, body, message) => {
    expect(tracing(body)).toThrow(UserError);
    expect(tracing(body)).toThrow(message);
    expect(tracing(body)).toThrow(`in ${layer}`);
  });

  function conv(t: Tracer, x: number[], w: number[], stride: [number, number] = [1, 1]): Tensor {
    const attrs = { stride, padding: [0, 0, 0, 0] } as const;
    return apply('conv2d', [t.input('image', x), t.input('kernel', w)], attrs);
  }
});

describe('axes without elements are refused', () => {
  it.each<[string, (t: Tracer, x: Tensor) => Tensor, string]>([
    [
      'input',
      (t) => t.input('empty', [0, 3]),
      'input empty in unet.down_blocks.0: would make a tensor [0, 3]; every axis needs at least one element',
    ],
    ['state', (t) => t.state('none', [2, 0]), 'input none'],
    ['weight', (t) => t.weight('proj.weight', [0]), 'weight proj.weight'],
    ['constant', (t) => t.constant([]), 'constant'],
    ['fractions', (t) => t.input('half', [1.5]), 'input half'],
    ['reshape', (t) => t.input('one', [1]).reshape([0, 1]), 'reshape'],
    ['slice', (_, x) => x.slice(0, 1, 1), 'slice'],
    ['slice backwards', (_, x) => x.slice(0, 2, 1), 'slice'],
    ['broadcast', (_, x) => x.sum(0, { keepDims: true }).broadcastTo([0, 3]), 'broadcast'],
    ['chunk', (_, x) => x.chunk(0)[0] ?? x.chunk(4)[0]!, 'chunk'],
  ])('%s', (_, body, message) => {
    expect(tracing(body)).toThrow(UserError);
    expect(tracing(body)).toThrow(message);
  });
});

describe('traces', () => {
  it('have one input of a name', () => {
    const twice = () =>
      trace((t) => ({ outputs: { x: t.input('x', [1]).add(t.state('x', [1])) } }));
    expect(twice).toThrow('two inputs called x');
  });
  it('update states only, with their own type', () => {
    const update = (make: (t: Tracer) => Tensor) => () =>
      trace((t) => ({ outputs: {}, updates: { s: make(t) } }));
    expect(update((t) => t.input('s', [1]))).toThrow('s is updated but is no state');
    expect(update((t) => t.state('s', [2]).sum())).toThrow(
      'the next value of s is f32 [], the state is f32 [2]',
    );
  });
  it('do not mix', () => {
    let other: Tensor | undefined;
    trace((t) => {
      other = t.input('x', [2, 3]);
      return { outputs: {} };
    });
    expect(tracing((_, x) => x.add(other!))).toThrow('traced in different graphs');
    expect(tracing((_, x) => concat([x, other!]))).toThrow('traced in different graphs');
  });
  it('give a gradient of one number only', () => {
    expect(tracing((_, x) => grad(x, [x])[0]!)).toThrow(
      'the loss must be one f32 number, got f32 [2, 3]; take its mean or sum',
    );
  });
});
