/** @file What the webgpu backend would do with a graph, on a device that need not be there: dispatches, bytes, operations, and the least time that they take. */
import type { MemoryPlan } from '../../backend.ts';
import type { KernelCall } from '../../custom/gpujs.ts';
import type { Graph } from '../../graph/types.ts';
import { memoryOf, prepare, programOf } from './backend.ts';
import type { Target } from './kernel.ts';
import { layOut } from './memory.ts';
import { atPeak, kindOf, type PeakRow } from './peak.ts';
import { elementBytes, type Program, tensorBytes } from './program.ts';
import type { Precision } from './storage.ts';

/** What a graphics card can do at most, as its maker says. */
export interface Card {
  readonly name: string;
  /** Operations a second in f32, in vector units. */
  readonly f32: number;
  /** The same of products of f16 matrices with sums in f32, in matrix units. */
  readonly f16Matrix: number;
  /** Bytes a second to and from its memory. */
  readonly bandwidth: number;
  /** Bytes. */
  readonly memory: number;
}

/** Kernels of one kind. */
export interface KernelRow {
  /** The first word of the kernels' names. */
  readonly kind: string;
  readonly dispatches: number;
  /** Operations of the graph that they compute: more than dispatches where several are one kernel. One that two kernels compute, rather than one of them keeping it, counts twice. */
  readonly operations: number;
  /** Different codes among them: what has to be compiled. */
  readonly codes: number;
  readonly flops: number;
  /** Read and written, every operand once. */
  readonly bytes: number;
}

export interface StepPlan {
  readonly memory: MemoryPlan;
  readonly dispatches: number;
  readonly codes: number;
  readonly operations: number;
  /** The share of operations that have no dispatch of their own, 0..1. */
  readonly fused: number;
  readonly flops: number;
  readonly bytes: number;
  /** What cannot be avoided: inputs, weights and states read once, outputs and next states written once. */
  readonly leastBytes: number;
  readonly kernels: readonly KernelRow[];
  /** What lies among activations when they take most. */
  readonly peak: readonly PeakRow[];
  /** Seconds of a step on a card: of each dispatch the longer of its operations and its bytes at the card's most, and what starting it costs. */
  seconds(card: Card): number;
}

/** Seconds between two dispatches that wait for each other: 2.0 us, measured on an H200 (benchmarks/results/gpu-device-h200.json). */
const DISPATCH = 2e-6;

/** A card as kernels see it: NVIDIA's limits, as an H200 reports them. */
export const cardTarget: Target = {
  kind: 'gpu',
  f16: true,
  subgroups: { min: 32, max: 32 },
  subgroupMatrix: { m: 16, n: 16, k: 16 },
  workgroupStorage: 49152,
  workgroupSize: 1024,
  workgroups: 65535,
  bindings: 16,
  bindingBytes: 2 ** 31 - 4,
  bufferBytes: 2 ** 40,
  alignment: 16,
  immediates: 16,
};

/** Plans a graph for a device. Computes nothing and needs none. */
export function planStep(
  graph: Graph,
  { precision = 'f32', target = cardTarget }: { precision?: Precision; target?: Target } = {},
): StepPlan {
  const prepared = prepare(graph, target, precision);
  // No shader is run, so that none is made: in its place stands what tells custom operations apart. One counts as a floating-point operation an element.
  const translate = ({ definition }: KernelCall): string => definition.source;
  const program = programOf(prepared, target, { precision, translate });
  const rows = new Map<string, { codes: Set<string> } & Omit<KernelRow, 'codes' | 'kind'>>();
  for (const { kernel, operations: own } of program.steps) {
    const kind = kindOf(kernel.name);
    const { codes, dispatches, operations, flops, bytes } = rows.get(kind) ?? {
      ...{ codes: new Set<string>(), dispatches: 0, operations: 0, flops: 0, bytes: 0 },
    };
    rows.set(kind, {
      codes: codes.add(kernel.code),
      dispatches: dispatches + 1,
      operations: operations + own,
      flops: flops + kernel.flops,
      bytes: bytes + kernel.bytes,
    });
  }
  const kernels = [...rows]
    .map(([kind, row]) => ({ kind, ...row, codes: row.codes.size }))
    .sort((a, b) => b.bytes - a.bytes);
  const sum = (of: (row: KernelRow) => number): number =>
    kernels.reduce((total, row) => total + of(row), 0);
  const operations = sum((row) => row.operations);
  const computing = program.steps.filter((step) => step.operations > 0).length;
  return {
    memory: memoryOf(layOut(program, target)),
    dispatches: program.steps.length,
    codes: sum(({ codes }) => codes),
    operations,
    fused: 1 - computing / operations,
    flops: sum(({ flops }) => flops),
    bytes: sum(({ bytes }) => bytes),
    leastBytes: leastBytes(program),
    kernels,
    peak: atPeak(program),
    seconds: (card) =>
      program.steps.reduce(
        (total, { kernel }) =>
          total +
          DISPATCH +
          Math.max(
            kernel.flops / (usesMatrixUnits(kernel.name) ? card.f16Matrix : card.f32),
            kernel.bytes / card.bandwidth,
          ),
        0,
      ),
  };
}

/** As the kernels of matrix units call themselves. */
const usesMatrixUnits = (name: string): boolean => / matrix /.test(name);

function leastBytes({ tensors, outputs }: Program): number {
  const of = (kinds: readonly string[]): number =>
    tensors.reduce(
      (sum, tensor) => sum + (kinds.includes(tensor.origin.kind) ? tensorBytes(tensor) : 0),
      0,
    );
  const results = [...outputs.values()].reduce(
    (sum, { tensor }) => sum + tensors[tensor]!.size * elementBytes[tensors[tensor]!.storage],
    0,
  );
  return of(['input', 'weight', 'constant']) + 2 * of(['state']) + results;
}
