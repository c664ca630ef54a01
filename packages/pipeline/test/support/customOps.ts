/** @file An adapter with a kernel of its own, and the same adapter made of primitives. */
import { type Backend, customOp, type Tensor } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { expect } from 'vitest';
import type { Adapter } from '../../src/index.ts';
import { lowRank, pictures, reports, stem, using } from './small.ts';

/** x sigmoid(x) of rows, whose gradient is a kernel too. */
const slope = customOp({
  name: 'swishSlope',
  output: (upstream) => upstream.shape,
  kernel(upstream: number[][][], x: number[][][]) {
    const v = x[this.thread.z]![this.thread.y]![this.thread.x]!;
    const s = 1 / (1 + Math.exp(-v));
    return upstream[this.thread.z]![this.thread.y]![this.thread.x]! * s * (1 + v * (1 - s));
  },
});
const swish = customOp({
  name: 'swish',
  output: (x) => x.shape,
  kernel(x: number[][][]) {
    const v = x[this.thread.z]![this.thread.y]![this.thread.x]!;
    return v / (1 + Math.exp(-v));
  },
  gradient: (upstream, x) => [slope(upstream, x)],
});
/** Behind layers that follow one another, so that a step is cut between them, forward and back. */
const bent = (curve: (x: Tensor) => Tensor): Adapter =>
  lowRank({
    name: 'bent',
    at: 'unet.mid_block.**.attn2.to_{q,k,out.0}',
    wrap:
      (layer, { down, up }) =>
      (x) =>
        layer(x).add(
          curve(x.matmul(down!, { transposeB: true })).matmul(up!, { transposeB: true }),
        ),
  });
/** Trains both adapters, the one of primitives on the processor, and holds losses and, where one is drawn, a picture against each other. */
export async function expectAlike(
  backend: Backend,
  { steps, draw }: { readonly steps: number; readonly draw: boolean },
): Promise<void> {
  const train = (curve: (x: Tensor) => Tensor, on: Backend) =>
    using(stem.data(pictures).adapter(bent(curve)).build({ backend: on }), async (run) => {
      const losses = (await reports(run, steps)).map(({ loss }) => loss);
      const [picture] = draw ? await run.generate('a boy', { seed: 1, steps: 1 }) : [];
      return { losses, pixels: [...(picture?.data ?? [])] };
    });
  const wanted = await train((x) => x.mul(x.sigmoid()), cpu());
  const got = await train(swish, backend);
  got.losses.forEach((loss, i) => expect(loss).toBeCloseTo(wanted.losses[i]!, 4));
  // A rounding may tip a colour over.
  got.pixels.forEach((value, i) =>
    expect(Math.abs(value - wanted.pixels[i]!)).toBeLessThanOrEqual(1),
  );
}
