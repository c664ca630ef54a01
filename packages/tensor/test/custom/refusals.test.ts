/** @file What is wrong with a custom operation is said by name, before anything is computed where that can be. */
import { describe, expect, it } from 'vitest';
import {
  composite,
  type CustomOp,
  customOp,
  grad,
  hostArray,
  type HostArray,
  reference,
  trace,
  UserError,
} from '../../src/index.ts';
import { cpu } from '../../src/node/index.ts';
import { testedWebgpu } from '../support/webgpu.ts';

type Mine = CustomOp<Record<string, number>>;
const x = hostArray(Float32Array.of(1, -2, 3), [3]) as HostArray;
const made = (kernel: Mine['kernel'], rest: Partial<Mine> = {}) =>
  customOp({ name: 'mine', output: (input) => input.shape, kernel, ...rest });
const copying = function (this: unknown, a: number[]) {
  return a[0]!;
};
const graphOf = (op: ReturnType<typeof made>) =>
  trace((t) => t.at('unet.mid', () => ({ outputs: { y: op(t.input('x', [3])) } })));
const compiled = [
  { name: 'cpu', backend: cpu({ threads: 1 }) },
  { name: 'webgpu', backend: testedWebgpu() },
];

describe('a definition', () => {
  it('needs a function with a text and a this', () => {
    expect(() => made(((a: number[]) => a[0]!) as never)).toThrow(
      /^customOp mine: it must be written as function .* not as an arrow function/,
    );
    expect(() => made(copying.bind(undefined))).toThrow('cannot be read: it is native or bound');
    expect(() => made(undefined as never)).toThrow(UserError);
    expect(() => made(copying, { constants: { table: [1] as never } })).toThrow(
      'the constant table is no number; give arrays as inputs',
    );
    expect(() => made(copying, { functions: [(v) => v] })).toThrow('not as an arrow function');
  });
  it('draws nothing by itself', () => {
    expect(() =>
      made(function () {
        return Math.random();
      }),
    ).toThrow(/draw\.normal/);
  });
});

describe('a call', () => {
  it('with other inputs, or for a shape that is none, is refused with its layer', () => {
    expect(() => graphOf(made(copying, { output: () => [3, 0] }))).toThrow(
      'customOp mine in unet.mid: output must give a shape, integers from 1 upward; got [3, 0]',
    );
    expect(() => graphOf(made(copying, { output: () => 3 as never }))).toThrow('got 3');
    expect(() =>
      trace((t) => ({ outputs: { y: made(copying)(t.input('x', [3], 'i32')) } })),
    ).toThrow('customOp mine: input 0 is i32; cast it to f32 first');
    expect(() =>
      trace((t) => ({
        outputs: { y: (made(copying) as (...all: unknown[]) => never)(t.input('x', [3]), 2) },
      })),
    ).toThrow('customOp mine: takes 1 tensors, as its kernel does; got 2 arguments');
  });
  it('within a composite is refused', () => {
    const outer = composite('outer', { define: ([a]) => [made(copying)(a!)] });
    expect(() => trace((t) => ({ outputs: { y: outer([t.input('x', [3])], {})[0]! } }))).toThrow(
      'the composite outer uses customOp mine',
    );
  });
});

describe('a gradient', () => {
  const slope = (rest: Partial<Mine>, cut = false) =>
    trace((t) => {
      const input = t.input('x', [3]);
      const y = t.at('unet.mid', () => made(copying, rest)(cut ? input.stopGradient() : input));
      return { outputs: { g: grad(y.mul(input).sum(), [input])[0]! } };
    });
  it('that is missing is named where one has to flow, and not missed elsewhere', () => {
    expect(() => slope({})).toThrow(
      /^customOp mine in unet\.mid: a gradient has to flow through it, and it has none: give it one/,
    );
    expect(slope({}, true).outputs).toHaveProperty('g');
  });
  it('of another shape or number is refused', () => {
    expect(() => slope({ gradient: () => [] })).toThrow('must give 1 tensors, one for each input');
    expect(() => slope({ gradient: (upstream) => [upstream.sum()] })).toThrow(
      'customOp mine in unet.mid: its gradient gives [] for input 0, which is [3]',
    );
  });
});

describe('a kernel', () => {
  const outside = 3;
  const wrong: Readonly<Record<string, [Mine['kernel'], RegExp]>> = {
    'that sees what is around it': [
      function (a: number[]) {
        return a[0]! + outside;
      },
      /gpu\.js cannot translate its kernel \(Identifier is not defined/,
    ],
    'that calls what it was not given': [
      function (a: number[]) {
        return a[0]! + Number.parseFloat('1');
      },
      /gpu\.js cannot translate its kernel/,
    ],
    'that gives several numbers': [
      function (a: number[]) {
        return [a[0]!, 1] as never;
      },
      /it returns several numbers/,
    ],
    'that makes objects': [
      function (a: number[]) {
        return { value: a[0]! }.value;
      },
      /unhandled type "ObjectExpression"/,
    ],
  };
  it.for(Object.keys(wrong))(
    '%s is refused by cpu and webgpu, before anything runs',
    async (name) => {
      const [kernel, reason] = wrong[name]!;
      for (const { backend } of compiled) {
        const failing = backend.compile(graphOf(made(kernel)));
        await expect(failing).rejects.toThrow(UserError);
        await expect(failing).rejects.toThrow(/^customOp mine in unet\.mid: /);
        await expect(failing).rejects.toThrow(reason);
      }
    },
  );
  it('that gives no number, or fails, is told by the reference with the element', async () => {
    const run = async (kernel: Mine['kernel']) =>
      (await reference.compile(graphOf(made(kernel)))).run({ x });
    await expect(
      run(function (a: number[]) {
        if (a[this.thread.x]! > 0) return 1;
        return undefined as never;
      }),
    ).rejects.toThrow(
      'customOp mine in unet.mid: the kernel must return a number; at element 1 it returns undefined',
    );
    await expect(
      run(function (a: number[]) {
        return (a as never as () => number)();
      }),
    ).rejects.toThrow(/the kernel fails at element 0: TypeError/);
  });
  it('that gives NaN passes it on', async () => {
    const root = made(function (a: number[]) {
      return Math.sqrt(a[this.thread.x]!);
    });
    for (const backend of [reference, compiled[0]!.backend]) {
      const { y } = await (await backend.compile(graphOf(root))).run({ x });
      expect(Array.from(y!.data)).toEqual([1, Number.NaN, Math.fround(Math.sqrt(3))]);
    }
  });
});
