import { expect, test } from 'vitest';
import { jsonLines, sdft } from './sdft.ts';

interface Planned {
  readonly plan: {
    readonly memory: { readonly activations: number; readonly state: number };
    readonly dispatches: number;
    readonly bytes: number;
    readonly leastBytes: number;
    readonly operations: number;
    readonly fused: number;
    readonly kernels: readonly {
      readonly dispatches: number;
      readonly operations: number;
      readonly bytes: number;
    }[];
    readonly peak: readonly { readonly kind: string; readonly bytes: number }[];
  };
  readonly predicted: readonly { readonly seconds: number; readonly fits: boolean }[];
}

test('doctor --plan: a step by kernels; f16 halves activations and leaves states as they are', async () => {
  const planned = async (precision: string): Promise<Planned> => {
    const flags = ['--plan', 'tiny', '--size', '64', '--precision', precision, '--json'];
    const ended = await sdft(['doctor', ...flags]);
    expect(ended.code).toBe(0);
    expect(ended.stderr).toMatch(/lora on tiny, 64 px, batch 1/);
    return jsonLines<Planned>(ended)[0]!;
  };
  const { plan, predicted } = await planned('f32');
  const total = (of: 'dispatches' | 'operations' | 'bytes'): number =>
    plan.kernels.reduce((sum, kernel) => sum + kernel[of], 0);
  expect([total('dispatches'), total('bytes')]).toEqual([plan.dispatches, plan.bytes]);
  expect(total('operations')).toBe(plan.operations);
  expect(plan.fused).toBeGreaterThan(1 - plan.dispatches / plan.operations);
  expect(plan.fused).toBeLessThan(1);
  expect(plan.leastBytes).toBeLessThan(plan.bytes);
  expect(predicted).toHaveLength(3);
  for (const { seconds, fits } of predicted) {
    expect(fits).toBe(true);
    expect(seconds).toBeGreaterThan(plan.dispatches * 1e-6);
  }
  const half = (await planned('f16')).plan.memory;
  expect(half.state).toBe(plan.memory.state);
  expect(half.activations).toBeLessThan(0.8 * plan.memory.activations);
});

test('full fine-tuning of SD1.5 keeps 0.8 GB of each picture of a batch of 8, in f16', async () => {
  const flags = ['--plan', 'sd15', '--method', 'full', '--batch', '8', '--precision', 'f16'];
  const [planned] = jsonLines<Planned>(await sdft(['doctor', ...flags, '--json']));
  const { memory, peak, dispatches, bytes } = planned!.plan;
  // Parameters, first and second moments.
  expect(memory.state).toBeLessThan(10.4e9);
  expect(memory.activations / 8).toBeLessThan(0.8e9);
  // Parameters in f16, which products read, are among it.
  expect(peak.find(({ kind }) => kind === 'copy')!.bytes).toBeGreaterThan(1.5e9);
  expect(dispatches).toBeLessThan(3200);
  expect(bytes).toBeLessThan(100e9);
});
