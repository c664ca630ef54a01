/** @file WGSL functions that generated kernels call. WGSL may assume that there are no NaN; where one matters it is looked for in the bits. */

/** Each with the other helpers that it calls. */
const table: Readonly<
  Record<string, { readonly code: string; readonly needs?: readonly string[] }>
> = {
  isNan: {
    code: 'fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }',
  },
  /** Infinity, as a value that is known only when the kernel runs: a constant one is no WGSL. */
  infinity: {
    code: 'var<private> infinityBits: u32 = 0x7f800000u;\nfn infinity() -> f32 { return bitcast<f32>(infinityBits); }',
  },
  nan: {
    code: 'var<private> nanBits: u32 = 0x7fc00000u;\nfn nan() -> f32 { return bitcast<f32>(nanBits); }',
  },
  /** As Math.max: NaN if either is. */
  larger: {
    code: 'fn larger(a: f32, b: f32) -> f32 { return select(max(a, b), a + b, isNan(a) || isNan(b)); }',
    needs: ['isNan'],
  },
  smaller: {
    code: 'fn smaller(a: f32, b: f32) -> f32 { return select(min(a, b), a + b, isNan(a) || isNan(b)); }',
    needs: ['isNan'],
  },
  /** exp never sees anything above 0. */
  sigmoid: {
    code: 'fn sigmoid(x: f32) -> f32 { let e = exp(-abs(x)); return select(e, 1.0, x >= 0.0) / (1.0 + e); }',
  },
  /** 1 to f32 beyond 15; drivers give NaN for large arguments. */
  tanhSafe: {
    code: 'fn tanhSafe(x: f32) -> f32 { return select(tanh(clamp(x, -15.0, 15.0)), x, isNan(x)); }',
    needs: ['isNan'],
  },
  /**
   * Sine and cosine to f32's precision, for arguments up to some 10^5: drivers may be 2^-11 off, and more the farther out. The argument is brought to [-pi/4, pi/4] by multiples of pi/2 in three
   * parts (Cody and Waite 1980), then Taylor polynomials.
   */
  sine: { code: 'fn sine(x: f32) -> f32 { return circle(x, 0i); }', needs: ['circle'] },
  cosine: { code: 'fn cosine(x: f32) -> f32 { return circle(x, 1i); }', needs: ['circle'] },
  circle: {
    code: `fn circle(x: f32, quarters: i32) -> f32 {
  let k = round(x * 0.6366197723675814);
  let r = fma(k, -7.549789954891886e-8, fma(k, -0.0004837512969970703, fma(k, -1.5703125, x)));
  let s = r * r;
  let odd = r + r * s * (-0.16666666666666666 + s * (0.008333333333333333 + s * (-0.0001984126984126984 + s * 2.7557319223985893e-06)));
  let even = 1.0 + s * (-0.5 + s * (0.041666666666666664 + s * (-0.001388888888888889 + s * 2.48015873015873e-05)));
  let q = i32(k) + quarters;
  let v = select(odd, even, (q & 1i) == 1i);
  return select(v, -v, (q & 2i) == 2i);
}`,
  },
  /** Of numbers below 2^-126 too, which drivers take for others. */
  logarithm: {
    code: 'fn logarithm(x: f32) -> f32 { return select(log(x), log(x * 16777216.0) - 16.635532333438686, abs(x) < 1.1754944e-38); }',
  },
  /** Wraps around; what lies between two integers becomes the nearer to 0. */
  integerPower: {
    code: `fn integerPower(a: i32, b: i32) -> i32 {
  if (b < 0i) { return select(select(0i, select(1i, -1i, (b & 1i) == 1i), a == -1i), 1i, a == 1i); }
  var n = b;
  var square = a;
  var product = 1i;
  while (n > 0i) {
    if ((n & 1i) == 1i) { product = product * square; }
    square = square * square;
    n = n >> 1u;
  }
  return product;
}`,
  },
  /**
   * For small x the Taylor series, else 1 - erfc(x) with the Chebyshev fit of Press et al. 1992 (Numerical Recipes, 6.2), whose relative error in erfc is below 1.2e-7.
   */
  erf: {
    code: `fn erf(x: f32) -> f32 {
  let a = abs(x);
  let s = x * x;
  let near = x * (1.1283791670955126 + s * (-0.37612638903183754 + s * (0.11283791670955126 + s * (-0.026866170645131252
    + s * (0.005223977625442188 + s * (-0.0008548327023450853 + s * 0.00012055332981789664))))));
  let t = 1.0 / (1.0 + 0.5 * a);
  let fit = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + t * (0.27886807
    + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277))))))));
  let far = 1.0 - t * exp(min(fit - s, 0.0));
  return select(select(far, -far, x < 0.0), near, a < 0.5 || isNan(x));
}`,
    needs: ['isNan'],
  },
  /** As IEEE 754's pow; whole exponents by repeated squaring, which is exact to rounding where exp2(b log2 a) is not. */
  power: {
    code: `fn power(a: f32, b: f32) -> f32 {
  if (b == 0.0 || a == 1.0) { return 1.0; }
  if (isNan(a) || isNan(b)) { return a + b; }
  let size = abs(b);
  if (size > 3.4e38) {
    if (a == -1.0) { return 1.0; }
    return select(0.0, infinity(), (abs(a) > 1.0) == (b > 0.0));
  }
  let whole = size >= 8388608.0 || floor(size) == size;
  if (whole && size < 65536.0) {
    var n = u32(size);
    var square = a;
    var product = 1.0;
    while (n > 0u) {
      if ((n & 1u) == 1u) { product = product * square; }
      square = square * square;
      n = n >> 1u;
    }
    return select(product, 1.0 / product, b < 0.0);
  }
  let odd = whole && size < 16777216.0 && (u32(size) & 1u) == 1u;
  let r = exp2(b * log2(abs(a)));
  if (a == 0.0) { return select(0.0, infinity(), b < 0.0); }
  if (a < 0.0 && !whole && a >= -3.4e38) { return nan(); }
  return select(r, -r, a < 0.0 && odd);
}`,
    needs: ['isNan', 'infinity', 'nan'],
  },
};

/** The code of `names` and of what they call. Throws nothing: names come from the table's callers. */
export function functionCode(names: Iterable<string>): string {
  const all = new Set<string>();
  const add = (name: string): void => {
    if (all.has(name)) return;
    for (const other of table[name]!.needs ?? []) add(other);
    all.add(name);
  };
  for (const name of names) add(name);
  return [...all].map((name) => table[name]!.code).join('\n');
}
