/** @file A product with one invocation for each element: the plain form, for comparison and for what is too small or too odd for the others. */
import type { Step, Target } from '../kernel.ts';
import { element, floats, type Product, productParts, resultSize } from './product.ts';
import { asStored, ceilDiv, finish, step } from './wgsl.ts';

export function naive(product: Product, target: Target): Step {
  const { a, b, m, n, k } = product;
  const invocations = target.kind === 'software' ? 32 : Math.min(64, target.workgroupSize);
  const single: Product = { ...product, out: { ...product.out, quads: false } };
  const parts = productParts(
    single,
    { parts: 1, length: k },
    {
      a: floats('a', a, 1),
      b: floats('b', b, 1),
    },
  );
  const size = resultSize(product);
  return step(
    {
      name: `${product.name} naive`,
      operands: parts.operands,
      declarations: parts.reads,
      invocations,
      groups: ceilDiv(size, invocations),
      body: `let number = id * ${invocations}u + lane;
if (number >= ${size}u) { return; }
let column = number % ${n}u;
let row = number / ${n}u % ${m}u;
let batch = number / ${m * n}u;
${parts.setup}
${a.outer('_a', 'row')}
${b.outer('_b', 'column')}
var sum = 0.0;
for (var k = 0u; k < ${k}u; k++) {
${a.inner('_ka', 'k')} ${b.inner('_kb', 'k')}
sum = fma(${element('a', a, '_a', '_ka')}, ${element('b', b, '_b', '_kb')}, sum);
}
let at = ${product.out.address('row', 'column')};
result[at] = ${asStored(product.out.storage, finish(product.epilogue, 'sum', 'at'))};`,
      flops: 2 * size * k,
    },
    target,
  );
}
