import { adamw, type Adapter, customOp, denoise, images, normal, pipeline, zeros } from './sdft.ts';

/** The derivative of snake, times what flows back: a kernel of two inputs. */
const snakeSlope = customOp({
  name: 'snakeSlope',
  output: (upstream) => upstream.shape,
  kernel(upstream: number[][][], x: number[][][]) {
    const { x: i, y: j, z: k } = this.thread;
    return upstream[k]![j]![i]! * (1 + Math.sin(2 * x[k]![j]![i]!));
  },
});
/** Snake (Ziyin et al. 2020): x + sin(x)^2. */
const snake = customOp({
  name: 'snake',
  output: (x) => x.shape,
  kernel(x: number[][][]) {
    const v = x[this.thread.z]![this.thread.y]![this.thread.x]!;
    return v + Math.sin(v) * Math.sin(v);
  },
  gradient: (upstream, x) => [snakeSlope(upstream, x)],
});
/** Two factors beside a layer, with a snake between them. */
const bent: Adapter = {
  name: 'bent',
  at: 'unet.**.attn2.to_{k,v}',
  init: (layer) => ({ down: normal([layer.in, 4], 0.1), up: zeros([4, layer.out]) }),
  wrap:
    (layer, { down, up }) =>
    (x) =>
      layer(x).add(snake(x.matmul(down!)).matmul(up!)),
};
const data = images('photos/boy', { template: 'a flat drawing of a boy' });
const described = pipeline().model('nano').data(data).adapter(bent).objective(denoise());
const run = await described.optimizer(adamw({ lr: 5e-3 })).build();
for await (const { step, loss } of run.steps(200)) if (step % 50 === 0) console.log(step, loss);
await run.save('boy.safetensors');
const [picture] = await run.generate('a flat drawing of a boy', { seed: 1 });
await picture!.save('boy.png');
