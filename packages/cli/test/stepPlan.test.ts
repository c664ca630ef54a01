import { expect, test } from 'vitest';
import { jsonLines, sdft } from './sdft.ts';

interface Planned {
  readonly plan: {
    readonly memory: { readonly activations: number; readonly state: number };
    readonly dispatches: number;
    readonly bytes: number;
    readonly leastBytes: number;
    readonly kernels: readonly { readonly dispatches: number; readonly bytes: number }[];
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
  const total = (of: 'dispatches' | 'bytes'): number =>
    plan.kernels.reduce((sum, kernel) => sum + kernel[of], 0);
  expect([total('dispatches'), total('bytes')]).toEqual([plan.dispatches, plan.bytes]);
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
