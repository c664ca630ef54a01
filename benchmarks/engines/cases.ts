/** @file What every engine computes: operations of Stable Diffusion 1.5, in f32. */

export interface Operand {
  readonly shape: readonly number[];
  /** Numbers are between -scale and scale. */
  readonly scale: number;
  /** Of the model: an engine may rearrange it beforehand. */
  readonly weight?: true;
}

export interface Case {
  readonly name: CaseName;
  /** For people. */
  readonly what: string;
  readonly operands: Readonly<Record<string, Operand>>;
  readonly result: readonly number[];
  /** 2 for each multiplication with its addition; undefined where memory is what counts. */
  readonly flops?: number;
}

export const caseNames = [
  'matmul-512',
  'matmul-1024',
  'convolution',
  'attention',
  'chain',
  'group-norm',
] as const;
export type CaseName = (typeof caseNames)[number];

export const HEADS = 8;
export const GROUPS = 32;
export const EPS = 1e-5;

const product = (n: number): Pick<Case, 'what' | 'operands' | 'result' | 'flops'> => ({
  what: `a b, ${n} x ${n} each`,
  operands: { a: { shape: [n, n], scale: 1 }, b: { shape: [n, n], scale: 1 } },
  result: [n, n],
  flops: 2 * n ** 3,
});
const vector = { shape: [1024], scale: 1 };
const tokens = { shape: [1, 1024, 320], scale: 1 };
const all: Readonly<Record<CaseName, Omit<Case, 'name'>>> = {
  'matmul-512': product(512),
  'matmul-1024': product(1024),
  convolution: {
    what: '3x3, 320 channels to 320, 32 x 32 pixels',
    operands: {
      x: { shape: [1, 320, 32, 32], scale: 1 },
      w: { shape: [320, 320, 3, 3], scale: 0.05, weight: true },
    },
    result: [1, 320, 32, 32],
    flops: 2 * 320 * 320 * 9 * 32 * 32,
  },
  attention: {
    what: `${HEADS} heads of 40, 1024 queries and keys`,
    operands: { q: tokens, k: tokens, v: tokens },
    result: [1, 1024, 320],
    flops: 4 * 1024 * 1024 * 320,
  },
  chain: {
    what: 'silu(x a + b) c, x of 4096 x 1024, vectors of 1024',
    operands: { x: { shape: [4096, 1024], scale: 2 }, a: vector, b: vector, c: vector },
    result: [4096, 1024],
  },
  'group-norm': {
    what: `320 channels in ${GROUPS} groups, 64 x 64 pixels`,
    operands: {
      x: { shape: [1, 320, 64, 64], scale: 2 },
      gamma: { shape: [320], scale: 1, weight: true },
      beta: { shape: [320], scale: 1, weight: true },
    },
    result: [1, 320, 64, 64],
  },
};

/** Throws for a name that is none. */
export function caseOf(name: string): Case {
  const known = caseNames.find((one) => one === name);
  if (!known) throw new Error(`${name} is none of ${caseNames.join(', ')}`);
  return { name: known, ...all[known] };
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** The operands' numbers, the same in every process: a linear congruential generator for each (Numerical Recipes' constants). */
export function numbersOf({ operands }: Case): Record<string, Float32Array> {
  return Object.fromEntries(
    Object.entries(operands).map(([name, { shape, scale }], i) => {
      let state = (i + 1) * 0x9e3779b9;
      const draw = (): number => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return (state / 2 ** 31 - 1) * scale;
      };
      return [name, Float32Array.from({ length: sizeOf(shape) }, draw)];
    }),
  );
}
