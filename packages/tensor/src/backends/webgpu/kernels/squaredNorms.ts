/** @file Sums of squares of many tensors at once. */
import type { Plan, Storage, Target } from '../kernel.ts';
import { reduction } from './reduce.ts';
import { asFloat, ceilDiv, type Operand, step } from './wgsl.ts';

export interface SquaredNormsSpec {
  /** Elements of each tensor. */
  readonly sizes: readonly number[];
  readonly storages: readonly Storage[];
}

/** Elements that a workgroup sums. */
const CHUNK = 8192;

/** Inputs: the tensors. Output: [tensors] f32. As many tensors in a dispatch as it has bindings, in workgroups of equal work; then one more for the sums of theirs. */
export function planSquaredNorms({ sizes, storages }: SquaredNormsSpec, target: Target): Plan {
  const { invocations, enable, declarations, shared } = reduction(CHUNK, target);
  const summing = { enable, declarations, shared, invocations };
  const chunks = sizes.map((size) => ceilDiv(size, CHUNK));
  /** Where the partial sums of each tensor begin; and where all end. */
  const starts = [0];
  for (const count of chunks) starts.push(starts.at(-1)! + count);
  const total = starts.at(-1)!;
  const partial = (access: 'read' | 'write', size: number): Operand => ({
    ...{ name: 'partial', storage: 'f32', access, size },
    slot: { kind: 'scratch', index: 0 },
  });

  const width = target.bindings - 1;
  const steps = Array.from({ length: ceilDiv(sizes.length, width) }, (_, group) => {
    const first = group * width;
    const members = sizes.slice(first, first + width).map((_, i) => first + i);
    const base = starts[first]!;
    const groups = starts[members.at(-1)! + 1]! - base;
    const branches = members.map((k) => {
      const from = starts[k]! - base;
      const element = asFloat(storages[k]!, `t${k - first}[i]`);
      return `if (id < ${from + chunks[k]!}u) {
let begin = (id - ${from}u) * ${CHUNK}u;
let end = min(begin + ${CHUNK}u, ${sizes[k]}u);
for (var i = begin + lane; i < end; i += ${invocations}u) { let x = ${element}; sum = fma(x, x, sum); }
}`;
    });
    return step(
      {
        ...{ ...summing, name: 'squares', groups },
        operands: [
          ...members.map(
            (k): Operand => ({
              ...{ name: `t${k - first}`, storage: storages[k]!, access: 'read', size: sizes[k]! },
              slot: { kind: 'input', index: k },
            }),
          ),
          partial('write', groups),
        ],
        body: `var sum = 0.0;
${branches.join(' else ')}
let all = total(lane, sum);
if (lane == 0u) { partial[${base}u + id] = all; }`,
        flops: 2 * members.reduce((sum, k) => sum + sizes[k]!, 0),
      },
      target,
    );
  });
  const last = step(
    {
      ...{ ...summing, name: 'squares of all', groups: sizes.length },
      declarations: `const starts = array<u32, ${starts.length}>(${starts.map((at) => `${at}u`).join(', ')});
${declarations}`,
      operands: [
        partial('read', total),
        {
          ...{ name: 'out', storage: 'f32', access: 'write', size: sizes.length },
          slot: { kind: 'output', index: 0 },
        },
      ],
      body: `var sum = 0.0;
let end = starts[id + 1u];
for (var i = starts[id] + lane; i < end; i += ${invocations}u) { sum += partial[i]; }
let all = total(lane, sum);
if (lane == 0u) { out[id] = all; }`,
      flops: total,
    },
    target,
  );
  return { steps: [...steps, last], scratch: [4 * total] };
}
