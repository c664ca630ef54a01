/** @file Two-dimensional convolutions over [N, C, H, W] as products of matrices whose operands are read where they lie (implicit GEMM). */
import type { Epilogue, Plan, Storage, Target } from '../kernel.ts';
import { type Form, formOf, planProduct } from './forms.ts';
import { planMatmul } from './matmul.ts';
import type { Product, Side } from './product.ts';
import { every } from './wgsl.ts';

export type Shape4 = readonly [number, number, number, number];

interface Window {
  readonly stride: readonly [number, number];
  /** [top, left, bottom, right] */
  readonly padding: readonly [number, number, number, number];
}

export interface Conv2d extends Window {
  /** [N, C, H, W] */
  readonly x: Shape4;
  /** [O, C, kh, kw] */
  readonly w: Shape4;
  readonly storage: { readonly x: Storage; readonly w: Storage; readonly out: Storage };
  readonly epilogue?: Epilogue | undefined;
}
export interface Conv2dGradInput extends Window {
  /** [N, O, H', W'] */
  readonly dy: Shape4;
  /** [O, C, kh, kw] */
  readonly w: Shape4;
  /** [H, W] of the result */
  readonly size: readonly [number, number];
  readonly storage: { readonly dy: Storage; readonly w: Storage; readonly out: Storage };
  readonly epilogue?: Epilogue | undefined;
}
export interface Conv2dGradWeight extends Window {
  /** [N, C, H, W] */
  readonly x: Shape4;
  /** [N, O, H', W'] */
  readonly dy: Shape4;
  /** [kh, kw] */
  readonly kernel: readonly [number, number];
  readonly storage: { readonly x: Storage; readonly dy: Storage; readonly out: Storage };
  readonly epilogue?: Epilogue | undefined;
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
/** `value * factor` in WGSL, without multiplications by one. */
const times = (value: string, factor: number): string =>
  factor === 1 ? value : `${value} * ${factor}u`;
/** `number / length` and the rest of it, named `high` and `low`. */
const divide = (number: string, length: number, high: string, low: string): string =>
  length === 1
    ? `let ${high} = ${number}; let ${low} = 0u;`
    : `let ${high} = (${number}) / ${length}u; let ${low} = (${number}) - ${high} * ${length}u;`;
const anyF16 = (storage: Readonly<Record<string, Storage>>): string =>
  Object.values(storage).includes('f16') ? ' f16' : '';
const outLength = (length: number, kernel: number, stride: number, low: number, high: number) =>
  Math.floor((length + low + high - kernel) / stride) + 1;
/** A window of one pixel that moves by one: a plain product. */
const pointwise = ([kh, kw]: readonly [number, number], { stride, padding }: Window): boolean =>
  [kh, kw, ...stride].every((d) => d === 1) && padding.every((p) => p === 0);

/** [N, O, H', W'] of a convolution. */
export function conv2dShape({ x, w, stride, padding }: Omit<Conv2d, 'storage'>): Shape4 {
  const [top, left, bottom, right] = padding;
  return [
    x[0],
    w[0],
    outLength(x[2], w[2], stride[0], top, bottom),
    outLength(x[3], w[3], stride[1], left, right),
  ];
}

/**
 * A picture's pixels as columns, k over channels and places of the kernel: element (n, y, x), (c, i, j) is picture[n, c, y s + i - p, x s + j - p], zero outside.
 * Places of u32 that are below zero are beyond every length.
 */
function patches(
  storage: Storage,
  [n, c, h, w]: Shape4,
  [outHeight, outWidth]: readonly [number, number],
  [kh, kw]: readonly [number, number],
  { stride, padding }: Window,
  pixelsAre: 'rows' | 'k',
): Side {
  const pixel = (id: string, number: string) =>
    `${divide(number, outHeight * outWidth, `image${id}`, `spot${id}`)}
${divide(`spot${id}`, outWidth, `down${id}`, `across${id}`)}
let y${id} = ${times(`down${id}`, stride[0])} - ${padding[0]}u; let x${id} = ${times(`across${id}`, stride[1])} - ${padding[1]}u;
let pixel${id} = image${id} * ${c * h * w}u + y${id} * ${w}u + x${id};`;
  const tap = (id: string, number: string) =>
    `${divide(number, kh * kw, `channel${id}`, `place${id}`)}
${divide(`place${id}`, kw, `i${id}`, `j${id}`)}
let tap${id} = channel${id} * ${h * w}u + i${id} * ${w}u + j${id};`;
  const inside = padding.some((p) => p !== 0) || kh * kw > 1;
  const at = (p: string, t: string) => ({
    address: `pixel${p} + tap${t}`,
    ...(inside && { valid: every([`y${p} + i${t} < ${h}u`, `x${p} + j${t} < ${w}u`])! }),
  });
  // Four pixels of a line: those in the middle of a picture are inside it wherever the first is.
  const lined = pixelsAre === 'rows' && stride[1] === 1 && outWidth % 4 === 0;
  const left = padding[1];
  const four = (p: string, t: string) =>
    [0, 1, 2, 3].map((r) => ({
      address: `pixel${p} + tap${t} + ${r}u`,
      valid: inside
        ? every([
            `y${p} + i${t} < ${h}u`,
            r < left || outWidth - 4 + kw - 1 - left + r >= w
              ? `x${p} + j${t} + ${r}u < ${w}u`
              : undefined,
          ])
        : undefined,
    }));
  return {
    storage,
    size: n * c * h * w,
    four: lined ? four : undefined,
    outer: pixelsAre === 'rows' ? pixel : tap,
    inner: pixelsAre === 'rows' ? tap : pixel,
    at: pixelsAre === 'rows' ? at : (t, p) => at(p, t),
    along: pixelsAre === 'rows' ? 'row' : 'k',
    vector: 1,
  };
}

/** Where the result of a product lies whose columns are pixels of all pictures: [N, channels, area]. */
const pictures = (storage: Storage, channels: number, area: number): Product['out'] => ({
  storage,
  address: (row, column) =>
    `(((${column}) / ${area}u * ${channels}u + ${row}) * ${area}u + (${column}) % ${area}u)`,
  quads: area % 4 === 0,
});

/** Inputs x, w and the epilogue's operands; output [N, O, H', W']. */
export function planConv2d(conv: Conv2d, target: Target, form?: Form): Plan {
  const { w, storage, epilogue } = conv;
  const [n, o, height, width] = conv2dShape(conv);
  const [, c, kh, kw] = w;
  const area = height * width;
  // A product of a matrix for each picture reads fours; one of all pictures fills tiles where pictures are small.
  if (pointwise([kh, kw], conv) && (n === 1 || area % 64 === 0))
    return swapped(
      planMatmul(
        {
          batch: [n],
          m: o,
          n: area,
          k: c,
          a: { storage: storage.w, offset: 0, strides: [0, c, 1] },
          b: { storage: storage.x, offset: 0, strides: [c * area, area, 1] },
          out: storage.out,
          epilogue,
        },
        target,
        form,
      ),
    );
  return swapped(planned(convProduct(conv), target, form));
}

/** The convolution as a product: rows are channels of the result, columns pixels of all pictures; a is w, b is x. */
export function convProduct(conv: Conv2d): Product {
  const { x, w, storage, epilogue } = conv;
  const [n, o, height, width] = conv2dShape(conv);
  const [, c, kh, kw] = w;
  const depth = c * kh * kw;
  return {
    name: `conv2d ${kh}x${kw}${anyF16(storage)}`,
    batch: 1,
    m: o,
    n: n * height * width,
    k: depth,
    a: {
      storage: storage.w,
      size: sizeOf(w),
      outer: (id, row) => `let row${id} = ${row} * ${depth}u;`,
      inner: (id, k) => `let depth${id} = ${k};`,
      at: (outer, inner) => ({ address: `row${outer} + depth${inner}` }),
      along: 'k',
      vector: depth % 8 === 0 ? 8 : depth % 4 === 0 ? 4 : 1,
    },
    b: patches(storage.x, x, [height, width], [kh, kw], conv, 'rows'),
    out: pictures(storage.out, o, height * width),
    epilogue,
  };
}

/** Inputs dy, w and the epilogue's operands; output the gradient of x, [N, C, ...size]. */
export function planConv2dGradInput(conv: Conv2dGradInput, target: Target, form?: Form): Plan {
  const { dy, w, size, storage, epilogue } = conv;
  const [n, o] = dy;
  const [, c, kh, kw] = w;
  const area = size[0] * size[1];
  if (pointwise([kh, kw], conv) && (n === 1 || area % 64 === 0))
    return swapped(
      planMatmul(
        {
          batch: [n],
          m: c,
          n: area,
          k: o,
          a: { storage: storage.w, offset: 0, strides: [0, 1, c] },
          b: { storage: storage.dy, offset: 0, strides: [o * area, area, 1] },
          out: storage.out,
          epilogue,
        },
        target,
        form,
      ),
    );
  return swapped(planned(convGradInputProduct(conv), target, form));
}

/** Rows are channels of x, columns its pixels, k channels of dy and places of the kernel; a is w, b is dy. */
export function convGradInputProduct(conv: Conv2dGradInput): Product {
  const { dy, w, size, stride, padding, storage, epilogue } = conv;
  const [n, o, height, width] = dy;
  const [, c, kh, kw] = w;
  const places = kh * kw;
  const [sy, sx] = stride;
  // Pixel (y, x) of x meets place (i, j) of the kernel in dy[(y + top - i) / sy, (x + left - j) / sx], where that is whole.
  const whole = (p: string, t: string) =>
    every([
      `y${p} - i${t} < ${(height - 1) * sy + 1}u`,
      `x${p} - j${t} < ${(width - 1) * sx + 1}u`,
      ...(sy === 1 ? [] : [`(y${p} - i${t}) % ${sy}u == 0u`]),
      ...(sx === 1 ? [] : [`(x${p} - j${t}) % ${sx}u == 0u`]),
    ])!;
  const left = padding[1];
  const four = (p: string, t: string) =>
    [0, 1, 2, 3].map((r) => ({
      address: `pixel${p} + tap${t} + (y${p} - i${t}) * ${width}u + x${p} - j${t} + ${r}u`,
      valid: every([
        `y${p} - i${t} < ${height}u`,
        r + left < kw - 1 || size[1] - 4 + left + r >= width
          ? `x${p} - j${t} + ${r}u < ${width}u`
          : undefined,
      ]),
    }));
  const over = (value: string, s: number) => (s === 1 ? `(${value})` : `(${value}) / ${s}u`);
  return {
    name: `conv2d grad input ${kh}x${kw}${anyF16(storage)}`,
    batch: 1,
    m: c,
    n: n * size[0] * size[1],
    k: o * places,
    a: {
      storage: storage.w,
      size: sizeOf(w),
      outer: (id, row) => `let row${id} = ${row} * ${places}u;`,
      inner: (id, k) =>
        `${divide(k, places, `channel${id}`, `place${id}`)} let depth${id} = channel${id} * ${c * places}u + place${id};`,
      at: (outer, inner) => ({ address: `row${outer} + depth${inner}` }),
      along: 'k',
      vector: 1,
    },
    b: {
      storage: storage.dy,
      size: sizeOf(dy),
      outer: (id, column) =>
        `${divide(column, size[0] * size[1], `image${id}`, `spot${id}`)}
${divide(`spot${id}`, size[1], `down${id}`, `across${id}`)}
let y${id} = down${id} + ${padding[0]}u; let x${id} = across${id} + ${padding[1]}u;
let pixel${id} = image${id} * ${o * height * width}u;`,
      inner: (id, k) =>
        `${divide(k, places, `channel${id}`, `place${id}`)}
${divide(`place${id}`, kw, `i${id}`, `j${id}`)}
let tap${id} = channel${id} * ${height * width}u;`,
      at: (p, t) => ({
        address:
          sy === 1 && sx === 1
            ? `pixel${p} + tap${t} + (y${p} - i${t}) * ${width}u + x${p} - j${t}`
            : `pixel${p} + tap${t} + ${over(`y${p} - i${t}`, sy)} * ${width}u + ${over(`x${p} - j${t}`, sx)}`,
        valid: whole(p, t),
      }),
      four: sy === 1 && sx === 1 && size[1] % 4 === 0 ? four : undefined,
      along: 'row',
      vector: 1,
    },
    out: pictures(storage.out, c, size[0] * size[1]),
    epilogue,
  };
}

/** Inputs x, dy and the epilogue's operands; output the gradient of w, [O, C, ...kernel]. */
export function planConv2dGradWeight(conv: Conv2dGradWeight, target: Target, form?: Form): Plan {
  return swapped(planned(convGradWeightProduct(conv), target, form));
}

/** Rows are channels of dy, columns channels of x and places of the kernel, k pixels of all pictures; a is dy, b is x. */
export function convGradWeightProduct(conv: Conv2dGradWeight): Product {
  const { x, dy, kernel, storage, epilogue } = conv;
  const [n, o, height, width] = dy;
  const area = height * width;
  const columns = x[1] * kernel[0] * kernel[1];
  return {
    name: `conv2d grad weight ${kernel.join('x')}${anyF16(storage)}`,
    batch: 1,
    m: o,
    n: columns,
    k: n * area,
    a: {
      storage: storage.dy,
      size: sizeOf(dy),
      outer: (id, row) => `let row${id} = ${row} * ${area}u;`,
      inner: (id, k) =>
        `${divide(k, area, `image${id}`, `spot${id}`)} let depth${id} = image${id} * ${o * area}u + spot${id};`,
      at: (outer, inner) => ({ address: `row${outer} + depth${inner}` }),
      along: 'k',
      vector: area % 8 === 0 ? 8 : area % 4 === 0 ? 4 : 1,
    },
    b: patches(storage.x, x, [height, width], kernel, conv, 'k'),
    out: {
      storage: storage.out,
      address: (row, column) => `(${row} * ${columns}u + ${column})`,
      quads: columns % 4 === 0,
    },
    epilogue,
  };
}

const planned = (product: Product, target: Target, form: Form | undefined): Plan =>
  planProduct(product, form ?? formOf(product, target), target);

/** A product's operands are (w, x), (w, dy) and (dy, x); the inputs of these plans come the other way round. */
const swapped = ({ steps, scratch }: Plan): Plan => ({
  scratch,
  steps: steps.map(({ kernel, slots }) => ({
    kernel,
    slots: slots.map((slot) =>
      slot.kind === 'input' && slot.index < 2 ? { ...slot, index: 1 - slot.index } : slot,
    ),
  })),
});
