import { adamw, images, pipeline, textualInversion } from './sdft.ts';

const run = await pipeline()
  .model('nano') //                                       or a folder in diffusers layout, a .safetensors or .ckpt
  .data(images('photos/boy', { template: 'a drawing of {}' }))
  .method(textualInversion({ token: '<boy>', init: 'boy', vectors: 4 }))
  .optimizer(adamw({ lr: 5e-3 }))
  .seed(42)
  .build(); //                                            every problem at once; nothing is computed yet

for await (const { step, loss } of run.steps(2000)) if (step % 100 === 0) console.log(step, loss);
await run.save('boy.safetensors'); //                     .pt = A1111's layout, .safetensors = diffusers'
const [picture] = await run.generate('<boy> in space suit riding a horse', { seed: 1 });
await picture!.save('boy.png');
