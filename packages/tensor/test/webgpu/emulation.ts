/** @file Subgroup matrices as plain WGSL, so that kernels that use them run on any device. */
import type { Plan, Step } from '../../src/backends/webgpu/kernel.ts';
import { large } from './targets.ts';

const { m, n, k } = large.subgroupMatrix!;

/** Reads a matrix from the halves in workgroup memory; `row` and `column` of its element j. */
const load = (name: string, type: string, size: number, row: string, column: string) =>
  `fn ${name}(i: u32, pitch: u32) -> ${type} { var r: ${type}; for (var j = 0u; j < ${size}u; j++) { r[j] = half_at(i + (${row}) * pitch + ${column}); } return r; }`;

const matrices = `alias Left = array<f32, ${m * k}>;
alias Right = array<f32, ${k * n}>;
alias Sum = array<f32, ${m * n}>;
fn half_at(i: u32) -> f32 { return unpack2x16float(memory[i / 2u])[i % 2u]; }
${load('left_row_major', 'Left', m * k, `j / ${k}u`, `j % ${k}u`)}
${load('left_col_major', 'Left', m * k, `j % ${k}u`, `j / ${k}u`)}
${load('right_row_major', 'Right', k * n, `j / ${n}u`, `j % ${n}u`)}
${load('right_col_major', 'Right', k * n, `j % ${n}u`, `j / ${n}u`)}
fn product(a: Left, b: Right, c: Sum) -> Sum {
var r = c; var x = a; var y = b;
for (var j = 0u; j < ${m * n}u; j++) { for (var l = 0u; l < ${k}u; l++) { r[j] += x[j / ${n}u * ${k}u + l] * y[l * ${n}u + j % ${n}u]; } }
return r;
}
fn put(i: u32, a: Sum, pitch: u32) { var x = a; for (var j = 0u; j < ${m * n}u; j++) { memory[i + j / ${n}u * pitch + j % ${n}u] = bitcast<u32>(x[j]); } }
fn four(q: u32) -> vec4f { return bitcast<vec4f>(vec4u(memory[4u * q], memory[4u * q + 1u], memory[4u * q + 2u], memory[4u * q + 3u])); }`;

/** The text of a step without what only some devices know: f16, subgroups, their matrices, and memory of several types. */
function plain(step: Step): Step {
  const { code } = step.kernel;
  const units = (name: string) => (code.includes(`var ${name}_next0 = vec4`) ? 4 : 2);
  const words = Number(/buffer<(\d+)>/.exec(code)![1]) / 4;
  const text = code
    .replace(/diagnostic.*\n/, '')
    .replace(/enable .*\n/g, '')
    .replace('@subgroup_size(32)', '')
    .replace(', @builtin(subgroup_id) subgroup: u32', '')
    .replace(/let halves = .*\n/, 'let subgroup = lane / 32u;\n')
    .replace(/let (floats|fours) = .*\n/g, '')
    .replace(/let [ab]_units = .*\n/g, '')
    .replace('fours[q]', 'four(q)')
    .replaceAll('fours[q]', 'four(q)')
    .replace(/buffer<\d+>/, `array<u32, ${words}>`)
    .replace(/([ab])_units\[(.*)\] = (\w+);/g, (_, name: string, at: string, value: string) =>
      Array.from(
        { length: units(name) },
        (_, c) => `memory[(${at}) * ${units(name)}u + ${c}u] = ${value}.${'xyzw'[c]};`,
      ).join(' '),
    )
    // Operands that are read one by one: two of them in a u32.
    .replaceAll('array<f16>', 'array<u32>')
    .replaceAll('-> f16', '-> f32')
    .replaceAll('0.0h', '0.0')
    .replace(
      /, ([ab])\[(select\(0u, address, valid\))\], valid/g,
      ', unpack2x16float($1[$2 / 2u])[$2 % 2u], valid',
    )
    .replace(/bitcast<vec2<u32>>\(vec4<f16>\((.*)\)\);/g, 'halves_of(vec4f($1));')
    .replace(/subgroupMatrixLoad<subgroup_matrix_(left|right)<[^>]*>, (\w+)>\(halves, /g, '$1_$2(')
    .replace(/: subgroup_matrix_result<[^>]*>/g, ': Sum')
    .replaceAll('subgroupMatrixMultiplyAccumulate(', 'product(')
    .replaceAll('subgroupMatrixStore<row_major>(floats, ', 'put(');
  return {
    ...step,
    kernel: {
      ...step.kernel,
      code: `${matrices}
fn halves_of(v: vec4f) -> vec2<u32> { return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw)); }
${text}`,
    },
  };
}

/**
 * Every invocation of a subgroup holds all of a matrix and does all of a product.
 * What stays as it is: where tiles lie, how they are read, which subgroup does what, and how results are written.
 */
export const emulated = (plan: Plan): Plan => ({
  ...plan,
  steps: plan.steps.map((step) =>
    step.kernel.code.includes('subgroup_matrix') ? plain(step) : step,
  ),
});
