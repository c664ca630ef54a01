/** @file A product of matrices with operands that are read through index functions: what matrix products and convolutions have in common. */
import type { Epilogue, Step, Storage, Target } from '../kernel.ts';
import {
  asFloat,
  asStored,
  ceilDiv,
  epilogueOperands,
  every,
  finish,
  lines,
  type Operand,
  step,
} from './wgsl.ts';

/**
 * One operand of a product: a matrix of rows (of the result's rows for `a`, of its columns for `b`) by k.
 * Its functions spell out WGSL; `batch` is the number of the matrix.
 */
export interface Side {
  readonly storage: Storage;
  /** Elements, for reports. */
  readonly size: number;
  /** Names what depends on the batch alone. */
  readonly setup?: string;
  /** Names what depends on a row alone; the names end in `id`. */
  readonly outer: (id: string, row: string) => string;
  /** Names what depends on k alone; the names end in `id`. */
  readonly inner: (id: string, k: string) => string;
  /** Where the element of the row named `outer` and the k named `inner` lies, and whether it is there at all (else it is zero). */
  readonly at: (outer: string, inner: string) => { address: string; valid?: string | undefined };
  /** The same of four rows from a multiple of four on, of which `outer` names the first, where all but the last part of the address is theirs in common. */
  readonly four?:
    | ((
        outer: string,
        inner: string,
      ) => readonly { readonly address: string; readonly valid?: string | undefined }[])
    | undefined;
  /** Along which of both neighbours lie beside each other. */
  readonly along: 'row' | 'k';
  /** How many elements may be read at once: aligned groups along `along` lie at a multiple of it. */
  readonly vector: 1 | 4 | 8;
}

/** result[batch, row, column] = sum over k of a[batch, row, k] b[batch, column, k] */
export interface Product {
  /** What a profile calls it. */
  readonly name: string;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: Side;
  readonly b: Side;
  readonly out: {
    readonly storage: Storage;
    /** Where an element of the result lies; it is its row-major number for an epilogue too. */
    readonly address: (row: string, column: string) => string;
    /** Four columns from a multiple of four on lie beside each other, at a multiple of four. */
    readonly quads: boolean;
  };
  readonly epilogue: Epilogue | undefined;
}

export const resultSize = ({ batch, m, n }: Product): number => batch * m * n;

/** How k is divided between workgroups, whose sums are added in a second step. */
export interface Split {
  readonly parts: number;
  /** k that each part takes, a multiple of the tile's. */
  readonly length: number;
}
export function splitK(k: number, parts: number, multiple: number): Split {
  const length = ceilDiv(ceilDiv(k, parts), multiple) * multiple;
  return { parts: Math.max(1, ceilDiv(k, length)), length };
}

/** How an operand is bound, and the function that reads it: `read_a(address, valid)`. */
export interface SideText {
  /** What the bound array holds, where it is not one element. */
  readonly element?: string;
  readonly read: string;
}

/** Reads one element, or four that lie beside each other, as f32. */
export function floats(name: 'a' | 'b', { storage }: Side, width: 1 | 4): SideText {
  const wide = width === 4;
  // An element that is not there is read as the first and dropped: cheaper than a branch.
  const at = `select(0u, address, valid)${wide ? ' / 4u' : ''}`;
  return {
    ...(wide && { element: `vec4<${storage}>` }),
    read: `fn read_${name}(address: u32, valid: bool) -> ${wide ? 'vec4f' : 'f32'} {
return select(${wide ? 'vec4f(0)' : '0.0'}, ${asFloat(storage, `${name}[${at}]`, width)}, valid);
}`,
  };
}

/** The parts that every form of a product shares: bindings, and functions that read and write elements. */
export function productParts(
  product: Product,
  split: Split,
  sides: { readonly a: SideText; readonly b: SideText },
) {
  const { a, b, out, m, n, epilogue } = product;
  const whole = split.parts === 1;
  const storage = whole ? out.storage : 'f32';
  const quads = out.quads;
  const operand = (name: 'a' | 'b', index: number): Operand => {
    const { storage, size } = product[name];
    const { element } = sides[name];
    return {
      name,
      storage,
      access: 'read',
      slot: { kind: 'input', index },
      size,
      ...(element !== undefined && { element }),
    };
  };
  const operands: Operand[] = [
    operand('a', 0),
    operand('b', 1),
    {
      name: 'result',
      storage,
      access: 'write',
      slot: whole ? { kind: 'output', index: 0 } : { kind: 'scratch', index: 0 },
      size: resultSize(product) * split.parts,
      ...(quads && { element: `vec4<${storage}>` }),
    },
    ...(whole ? epilogueOperands(epilogue, 2) : []),
  ];
  const value = (component: string, i: string) =>
    whole ? finish(epilogue, component, i) : component;
  const stored = quads
    ? `result[at / 4u] = ${asStored(storage, `vec4f(${[0, 1, 2, 3].map((c) => value(`v.${'xyzw'[c]}`, `(at + ${c}u)`)).join(', ')})`, 4)};`
    : lines(
        4,
        (c) =>
          `if (column + ${c}u < ${n}u) { let at${c} = ${out.address('row', `(column + ${c}u)`)}; result[${whole ? '' : 'part + '}at${c}] = ${asStored(storage, value(`v.${'xyzw'[c]}`, `at${c}`))}; }`,
      );
  const reads = `${sides.a.read}
${sides.b.read}`;
  const declarations = `${reads}
fn write(batch: u32, part: u32, row: u32, column: u32, v: vec4f) {
if (row >= ${m}u || column >= ${n}u) { return; }
${quads ? `let at = ${out.address('row', 'column')}${whole ? '' : ' + part'};` : ''}
${stored}
}`;
  const setup = `${a.setup ?? ''} ${b.setup ?? ''}`;
  return { operands, reads, declarations, setup };
}

/** Sums the parts of a product whose k was divided. */
export function sumParts(product: Product, parts: number, target: Target): Step {
  const size = resultSize(product);
  const invocations = target.kind === 'software' ? 32 : Math.min(256, target.workgroupSize);
  const { out, epilogue } = product;
  return step(
    {
      name: `${product.name} sum`,
      operands: [
        {
          name: 'parts',
          storage: 'f32',
          access: 'read',
          slot: { kind: 'scratch', index: 0 },
          size: size * parts,
        },
        {
          name: 'result',
          storage: out.storage,
          access: 'write',
          slot: { kind: 'output', index: 0 },
          size,
        },
        ...epilogueOperands(epilogue, 2),
      ],
      invocations,
      groups: ceilDiv(size, invocations),
      body: `let at = id * ${invocations}u + lane;
if (at >= ${size}u) { return; }
var sum = 0.0;
for (var p = 0u; p < ${parts}u; p++) { sum += parts[p * ${size}u + at]; }
result[at] = ${asStored(out.storage, finish(epilogue, 'sum', 'at'))};`,
      flops: size * parts,
    },
    target,
  );
}

/** Four elements of neighbouring rows, as a list; `outers` names the rows, or the first alone where the operand knows of fours. */
export function fourRows(
  name: 'a' | 'b',
  side: Side,
  outers: readonly string[],
  inner: string,
  within?: string,
): string {
  const four = side.four?.(outers[0]!, inner) ?? outers.map((outer) => side.at(outer, inner));
  return four
    .map(({ address, valid }) => `read_${name}(${address}, ${every([valid, within]) ?? 'true'})`)
    .join(', ');
}

/** One element of an operand as f32; `outer` and `inner` are names that were made before. `within`: what else must hold. */
export function element(
  name: 'a' | 'b',
  side: Side,
  outer: string,
  inner: string,
  within?: string,
): string {
  const { address, valid } = side.at(outer, inner);
  return `read_${name}(${address}, ${every([valid, within]) ?? 'true'})`;
}

/** How one operand's tile gets from buffers into workgroup memory: into registers, and from there on. */
interface Load {
  readonly read: string;
  readonly write: string;
}

/** WGSL of the way along k, `tile.k` at a time; `ahead`: the next tiles are read while these are multiplied. */
export function tileLoop(
  tile: { readonly k: number; readonly ahead: boolean },
  a: Load,
  b: Load,
  multiply: string,
): string {
  const read = `${a.read}\n${b.read}`;
  const store = `workgroupBarrier();\n${a.write}\n${b.write}\nworkgroupBarrier();`;
  return tile.ahead
    ? `var k0 = first;
${read}
while (k0 < last) {
${store}
k0 += ${tile.k}u;
if (k0 < last) {
${read}
}
${multiply}
}`
    : `for (var k0 = first; k0 < last; k0 += ${tile.k}u) {
${read}
${store}
${multiply}
}`;
}
