/** @file What a training step takes on a graphics card, from the plan alone: `sdft doctor --plan`. */
import type { Card, StepPlan } from '@sdft/tensor';
import type { Output } from '../terminal/output.ts';
import { bytes } from '../terminal/quantities.ts';

export interface PlanOptions {
  readonly architecture: string;
  readonly method: string;
  readonly size: number;
  readonly batch: number;
  readonly precision: 'f32' | 'f16';
  readonly recompute: boolean;
}

/** Figures of the makers: f32 of the vector units, dense f16 products with f32 sums of the matrix units, memory. */
const cards: readonly Card[] = [
  {
    name: 'GeForce RTX 3060',
    f32: 12.7e12,
    f16Matrix: 25.5e12,
    bandwidth: 360e9,
    memory: 12 * 2 ** 30,
  },
  {
    name: 'GeForce RTX 4090',
    f32: 82.6e12,
    f16Matrix: 165e12,
    bandwidth: 1008e9,
    memory: 24 * 2 ** 30,
  },
  { name: 'H200', f32: 67e12, f16Matrix: 989e12, bandwidth: 4800e9, memory: 141e9 },
];

/** Of what is held at the peak. */
const MOST_ROWS = 10;

/** Traces the step and plans it; prints the table of kernels. */
export async function printStepPlan(options: PlanOptions, output: Output): Promise<void> {
  const plan = await planOf(options);
  const { architecture, method, size, batch, precision } = options;
  const { memory } = plan;
  const rows = plan.kernels.map(({ kind, dispatches, codes, operations, flops, bytes: moved }) => [
    ...[kind, String(dispatches), String(codes), String(operations)],
    ...[`${(flops / 1e9).toFixed(1)}`, bytes(moved)],
  ]);
  const alive = plan.peak
    .slice(0, MOST_ROWS)
    .map(({ kind, storage, tensors, bytes: size }) => [
      ...[`${kind}, ${storage}`, String(tensors), bytes(size), bytes(size / batch)],
    ]);
  output.print(
    `${method} on ${architecture}, ${size} px, batch ${batch}, ${precision}: ${plan.dispatches} dispatches of ${plan.codes} kernels; ${plan.operations} operations of the graph, of which ${(100 * plan.fused).toFixed(0)} % have no dispatch of their own; ` +
      `${(plan.flops / 1e12).toFixed(2)} TFLOP; ${bytes(plan.bytes)} moved, of which ${bytes(plan.leastBytes)} cannot be avoided`,
  );
  output.print(
    `memory: ${bytes(memory.total)} (weights ${bytes(memory.weights)}, states ${bytes(memory.state)}, activations ${bytes(memory.activations)}, ${bytes(memory.activations / batch)} a picture)`,
  );
  const heads = ['kernel', 'dispatches', 'codes', 'operations', 'GFLOP', 'bytes'];
  for (const line of aligned([heads, ...rows])) output.print(line);
  for (const line of aligned([['at the peak, by', 'tensors', 'bytes', 'a picture'], ...alive]))
    output.print(line);
  const predicted = cards.map((card) => ({
    ...{ card: card.name, seconds: plan.seconds(card) },
    fits: memory.total <= card.memory,
  }));
  for (const { card, seconds, fits } of predicted)
    output.print(
      `${card}: ${fits ? '' : 'does not fit; '}at least ${seconds.toPrecision(2)} s a step, if every kernel ran at the card's most`,
    );
  const { kernels, peak, dispatches, codes, operations, fused, flops, leastBytes } = plan;
  const figures = { dispatches, codes, operations, fused, flops, bytes: plan.bytes, leastBytes };
  output.record({
    ...options,
    plan: { memory, ...figures, kernels, peak },
    predicted,
  });
}

async function planOf(options: PlanOptions): Promise<StepPlan> {
  const [{ architecture, noiseSchedule }, { adamw, presets }, { traceStep }, { planStep }] =
    await Promise.all([
      import('@sdft/models'),
      import('@sdft/methods'),
      import('@sdft/pipeline'),
      import('@sdft/tensor'),
    ]);
  const configs = architecture(options.architecture);
  const scale = 2 ** (configs.vae.blockOutChannels.length - 1);
  const { adapters, objective } = presets[options.method]!.assemble({});
  const { graph } = traceStep(
    { ...configs, name: options.architecture, schedule: noiseSchedule(configs.schedule) },
    {
      ...{ adapters, objective, optimizer: adamw({ lr: 1e-5 }), accumulate: 1, clipSkip: 1 },
      ...{ recompute: options.recompute, lossScaling: options.precision === 'f16' },
    },
    {
      batch: options.batch,
      latents: options.size / scale,
      tokens: configs.textEncoder.maxPositionEmbeddings,
    },
  );
  return planStep(graph, { precision: options.precision });
}

/** Columns, the first to the left and the others to the right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[i]!)))
      .join('  '),
  );
}
