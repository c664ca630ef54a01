/** @file Sums and maxima over the invocations of a workgroup. */
import type { Target } from '../kernel.ts';
import { fixedSubgroup } from './forms.ts';

/** WGSL functions `total(lane, value)` and `largest(lane, value)`, which every invocation of a workgroup calls at once and gets the same from. */
export interface Reduction {
  readonly invocations: number;
  readonly enable: readonly string[];
  readonly declarations: string;
  /** Bytes of workgroup memory. */
  readonly shared: number;
}

/** A workgroup that goes through `length` numbers: one subgroup on software devices, where barriers are dear. */
export function reduction(length: number, target: Target): Reduction {
  const size = fixedSubgroup(target);
  if (target.kind === 'software' && size !== undefined)
    return {
      invocations: size,
      enable: ['subgroups'],
      declarations: `fn total(lane: u32, value: f32) -> f32 { return subgroupAdd(value); }
fn largest(lane: u32, value: f32) -> f32 { return subgroupMax(value); }`,
      shared: 0,
    };
  if (target.kind === 'software')
    return {
      invocations: 1,
      enable: [],
      declarations: `fn total(lane: u32, value: f32) -> f32 { return value; }
fn largest(lane: u32, value: f32) -> f32 { return value; }`,
      shared: 0,
    };
  let invocations = 32;
  while (invocations < Math.min(256, target.workgroupSize) && invocations * 4 < length)
    invocations *= 2;
  const tree = (name: string, combine: (a: string, b: string) => string) =>
    `fn ${name}(lane: u32, value: f32) -> f32 {
shared_numbers[lane] = value;
workgroupBarrier();
for (var half = ${invocations / 2}u; half > 0u; half >>= 1u) {
if (lane < half) { shared_numbers[lane] = ${combine('shared_numbers[lane]', 'shared_numbers[lane + half]')}; }
workgroupBarrier();
}
let result = shared_numbers[0];
workgroupBarrier();
return result;
}`;
  return {
    invocations,
    enable: [],
    declarations: `var<workgroup> shared_numbers: array<f32, ${invocations}>;
${tree('total', (a, b) => `${a} + ${b}`)}
${tree('largest', (a, b) => `max(${a}, ${b})`)}`,
    shared: invocations * 4,
  };
}
