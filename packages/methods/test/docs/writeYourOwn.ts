import { adamw, type Adapter, constant, images, type Objective, pipeline } from './sdft.ts';

/** IA3 (Liu et al. 2022): one factor for each output of the keys and values that read the prompt. */
const scales: Adapter = {
  name: 'scales',
  at: 'unet.**.attn2.to_{k,v}',
  init: (layer) => ({ scale: constant([layer.out], 1) }),
  wrap:
    (layer, { scale }) =>
    (x) =>
      layer(x).mul(scale!),
};

/** The noise, under a loss that forgives outliers: sqrt(e^2 + c^2) - c. */
const huber: Objective = ({ unet, schedule }, { latents, context, size }, draw) => {
  const t = draw.integers('timesteps', [size], schedule.config.numTrainTimesteps);
  const noise = draw.normal('noise', latents.shape);
  const predicted = unet(schedule.addNoise(latents, noise, t), t, context);
  const error = predicted.sub(schedule.target(latents, noise, t));
  return error.square().add(0.01).sqrt().sub(0.1).mean([1, 2, 3]);
};

const run = await pipeline()
  .model('nano')
  .data(images('photos/boy', { template: 'a flat drawing of a boy' }))
  .adapter(scales)
  .objective(huber)
  .optimizer(adamw({ lr: 1e-2 }))
  .build();

for await (const { step, loss } of run.steps(200)) if (step % 50 === 0) console.log(step, loss);
await run.save('boy.safetensors');
const [picture] = await run.generate('a flat drawing of a boy', { seed: 1 });
await picture!.save('boy.png');
