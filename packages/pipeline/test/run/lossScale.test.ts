/** @file Loss scaling, for intermediates in f16: here with those of cpu, so that what it does is seen exactly. */
import { type Backend, hostArray, type HostArray } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { describe, expect, it } from 'vitest';
import { LossScale } from '../../src/run/lossScale.ts';
import { pictures, reports, stem, temporaryFolder, trained, using } from '../support/small.ts';

/** cpu, said to keep f16; `scales` sees the scale of every micro-step and may change it. */
const scaled = (scales: (scale: number) => number): Backend => {
  const plain = cpu();
  return {
    name: 'cpu',
    precision: 'f16',
    compile: async (graph, options) => {
      const executable = await plain.compile(graph, options);
      return new Proxy(executable, {
        get: (target, key) => {
          if (key !== 'run') {
            const value = Reflect.get(target, key, target) as unknown;
            return typeof value === 'function' ? (value.bind(target) as unknown) : value;
          }
          return (inputs: Record<string, HostArray> = {}) => {
            const scale = inputs['loss.scale'];
            return target.run(
              scale
                ? {
                    ...inputs,
                    'loss.scale': hostArray(Float32Array.of(scales(scale.get())), []) as HostArray,
                  }
                : inputs,
            );
          };
        },
      });
    },
  };
};

const described = stem.data(pictures).steps(3);

describe('loss scaling', () => {
  it('changes nothing but the range of gradients: scales are powers of two', async () => {
    const plain = await using(described.build(), async (run) => [
      (await reports(run)).map(({ loss }) => loss),
      await trained(run),
    ]);
    const seen: number[] = [];
    const backend = scaled((scale) => (seen.push(scale), scale));
    const [losses, values] = await using(described.build({ backend }), async (run) => [
      (await reports(run)).map(({ loss }) => loss),
      await trained(run),
    ]);
    expect(seen).toEqual([65536, 65536, 65536]);
    losses!.forEach((loss, i) => expect(loss).toBeCloseTo(plain[0]![i]!, 5));
    values!.forEach((value, i) => expect(value).toBeCloseTo(plain[1]![i]!, 4));
  });

  it('skips a step whose gradient overflows, says so, and goes on with half the scale', async () => {
    const seen: number[] = [];
    // At the second step only.
    const backend = scaled((scale) => (seen.push(scale) === 2 ? Infinity : scale));
    const folder = temporaryFolder();
    await using(described.build({ backend, logDir: folder }), async (run) => {
      const first = await reports(run, 1);
      expect(first[0]!.warnings).toEqual([]);
      const before = await trained(run);
      const [second] = await reports(run, 1);
      expect(second!.warnings).toEqual([
        'step 2: the gradient overflowed f16 at a loss scale of 65536; the step is skipped, and the scale is 32768 from now on',
      ]);
      expect(await trained(run)).toEqual(before);
      await run.saveState();
      await reports(run, 1);
      expect(await trained(run)).not.toEqual(before);
    });
    const resumed: number[] = [];
    await using(
      described.build({
        backend: scaled((scale) => (resumed.push(scale), scale)),
        ...{ logDir: folder, resume: true },
      }),
      async (run) => {
        expect(await run.resume()).toBe(2);
        await reports(run, 1);
      },
    );
    expect([seen, resumed]).toEqual([[65536, 65536, 32768], [32768]]);
    // What computes in f32 goes on from it, too.
    await using(described.build({ logDir: folder, resume: true }), async (run) => {
      expect(await run.resume()).toBe(2);
    });
  });

  it('doubles after 2000 good steps, and gives up where nothing is left to halve', () => {
    const scale = new LossScale();
    for (let i = 0; i < 2000; i++) scale.success();
    expect(scale.scale).toBe(2 ** 17);
    for (let i = 0; i < 17; i++) scale.overflow(i);
    expect([scale.scale, scale.skipped]).toEqual([1, 17]);
    expect(() => scale.overflow(18)).toThrow(/step 18: the gradient is too large for f16/);
  });
});
