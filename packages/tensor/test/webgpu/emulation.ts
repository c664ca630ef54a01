/** @file Subgroup matrices as plain WGSL, so that kernels that use them run on any device. */
import type { Plan, Step } from '../../src/backends/webgpu/kernel.ts';
import { large } from './targets.ts';

const { m, n, k } = large.subgroupMatrix!;

/** Reads a matrix from the halves in workgroup memory; `row` and `column` of its element j. Arrays by reference: drivers compile copies of them number by number. */
const load = (name: string, size: number, row: string, column: string) =>
  `fn ${name}(r: ptr<function, Matrix>, i: u32, pitch: u32) { for (var j = 0u; j < ${size}u; j++) { (*r)[j] = half_at(i + (${row}) * pitch + ${column}); } }`;

const matrices = `alias Matrix = array<f32, ${Math.max(m * k, k * n, m * n)}>;
var<private> me: u32;
fn half_at(i: u32) -> f32 { return unpack2x16float(memory[i / 2u])[i % 2u]; }
${load('left_row_major', m * k, `j / ${k}u`, `j % ${k}u`)}
${load('left_col_major', m * k, `j % ${k}u`, `j / ${k}u`)}
${load('right_row_major', k * n, `j / ${n}u`, `j % ${n}u`)}
${load('right_col_major', k * n, `j % ${n}u`, `j / ${n}u`)}
fn zero(r: ptr<function, Matrix>) { for (var j = me; j < ${m * n}u; j += 32u) { (*r)[j] = 0.0; } }
fn product(x: ptr<function, Matrix>, y: ptr<function, Matrix>, r: ptr<function, Matrix>) {
for (var j = me; j < ${m * n}u; j += 32u) { var sum = (*r)[j]; for (var l = 0u; l < ${k}u; l++) { sum += (*x)[j / ${n}u * ${k}u + l] * (*y)[l * ${n}u + j % ${n}u]; } (*r)[j] = sum; }
}
fn put(i: u32, x: ptr<function, Matrix>, pitch: u32) { for (var j = me; j < ${m * n}u; j += 32u) { memory[i + j / ${n}u * pitch + j % ${n}u] = bitcast<u32>((*x)[j]); } }
fn four(q: u32) -> vec4f { return bitcast<vec4f>(vec4u(memory[4u * q], memory[4u * q + 1u], memory[4u * q + 2u], memory[4u * q + 3u])); }
fn put_eight(i: u32, v: vec4<u32>) { for (var c = 0u; c < 4u; c++) { memory[4u * i + c] = v[c]; } }
fn put_four(i: u32, v: vec2<u32>) { memory[2u * i] = v.x; memory[2u * i + 1u] = v.y; }
fn put_float(i: u32, v: f32) { memory[i] = bitcast<u32>(v); }`;
const halves = `fn halves_of(v: vec4f) -> vec2<u32> { return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw)); }`;

/** The text of a step without what only some devices know: f16, subgroups, their matrices, and memory of several types. */
function plain(step: Step): Step {
  const { code } = step.kernel;
  const units = (name: string) => (code.includes(`var ${name}_next0 = vec4`) ? 4 : 2);
  const bytes = /buffer<(\d+)>/.exec(code);
  const words = Number(bytes?.[1]) / 4;
  const text = code
    .replace(/diagnostic.*\n/, '')
    .replace(/enable .*\n/g, '')
    .replace('@subgroup_size(32)', '')
    .replace(', @builtin(subgroup_id) subgroup: u32', '')
    .replace(/let halves = .*\n/, 'let subgroup = lane / 32u; me = lane % 32u;\n')
    .replace(/let (floats|fours) = .*\n/g, '')
    .replace(/fn (put_eight|put_four|put_float|four)\(.*\n/g, '')
    .replace(/let [ab]_units = .*\n/g, '')
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
    .replace(/f32\((\w+)\[([^\]]*)\]\)/g, 'unpack2x16float($1[($2) / 2u])[($2) % 2u]')
    .replaceAll('-> f16', '-> f32')
    .replaceAll('0.0h', '0.0')
    .replace(
      /, ([ab])\[(select\(0u, address, valid\))\], valid/g,
      ', unpack2x16float($1[$2 / 2u])[$2 % 2u], valid',
    )
    .replace(/bitcast<vec2<u32>>\(vec4<f16>\((.*)\)\);/g, 'halves_of(vec4f($1));')
    .replace(
      /let (\w+) = subgroupMatrixLoad<subgroup_matrix_(left|right)<[^>]*>, (\w+)>\(halves, /g,
      'var $1: Matrix; $2_$3(&$1, ',
    )
    .replace(/var (\w+) = subgroup_matrix_result<[^>]*>\(\);/g, 'var $1: Matrix; zero(&$1);')
    .replace(/: subgroup_matrix_result<[^>]*>/g, ': Matrix')
    .replace(
      /(\w+) = subgroupMatrixMultiplyAccumulate\((\w+), (\w+), \w+\)/g,
      'product(&$2, &$3, &$1)',
    )
    .replace(
      /subgroupMatrixStore<row_major>\(floats, (.*), (\w+), (\d+u)\);/g,
      'put($1, &$2, $3);',
    );
  return {
    ...step,
    kernel: {
      ...step.kernel,
      code: `${bytes ? `${matrices}\n${halves}` : ''}\n${text}`,
    },
  };
}

/**
 * Every invocation of a subgroup holds all of each factor, and its part of each sum.
 * What stays as it is: where tiles lie, how they are read, which subgroup does what, and how results are written.
 */
export const emulated = (plan: Plan): Plan => ({
  ...plan,
  steps: plan.steps.map((step) => (step.kernel.code.includes('enable f16') ? plain(step) : step)),
});
