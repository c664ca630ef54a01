/** @file Our training step: that of a run of Textual Inversion which replays a record. */
import { clipTextLayers, readFloat32, unetLayers } from '@sdft/models';
import { openSafetensors } from '@sdft/models/node';
import { adamw } from '@sdft/optim';
import { hostArray, type HostArray } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { textualInversion } from '../../packages/methods/src/textual-inversion/textualInversion.ts';
import { Executables } from '../../packages/pipeline/src/encoding/executables.ts';
import { PictureEncoder } from '../../packages/pipeline/src/encoding/pictureEncoder.ts';
import { PromptEncoder } from '../../packages/pipeline/src/encoding/promptEncoder.ts';
import { openBase } from '../../packages/pipeline/src/node/openBase.ts';
import { replaySource } from '../../packages/pipeline/src/node/replaySource.ts';
import { Trainer } from '../../packages/pipeline/src/run/trainer.ts';
import { attach } from '../../packages/pipeline/src/training/trainables.ts';
import { type StepShape, trainGraph } from '../../packages/pipeline/src/training/trainGraph.ts';
import { type Step, type Task, token } from '../workload/task.ts';

export interface TrainingStep {
  run(): Promise<Step>;
  dispose(): Promise<void>;
}

/** Opens the checkpoint and compiles the step. */
export async function trainingStep(task: Task): Promise<TrainingStep> {
  const backend = cpu({ threads: task.threads });
  const base = await openBase(task.checkpoint);
  const { adapters, objective } = textualInversion({ token });
  const layers = [...clipTextLayers(base.textEncoder), ...unetLayers(base.unet)];
  const attached = attach(adapters, layers);
  const settings = {
    adapters,
    objective,
    optimizer: adamw({ lr: task.lr }),
    accumulate: 1,
    clipSkip: 1,
    recompute: task.recompute,
  };
  // A record that brings latents and ids needs neither encoder.
  const executables = new Executables(backend, 0);
  const pictures = new PictureEncoder(base, executables, { budget: 0 });
  const source = replaySource(task.record, base, pictures, { withClass: false });
  const { size: batch, instances, latents, tokens } = source;
  const shape: StepShape = { batch, instances, latents, tokens, pictures: 'latents', text: 'ids' };
  const train = trainGraph(base, attached, settings, shape);
  const { trainables, phases } = attached;
  const { name } = trainables[0]!;
  const trainer = new Trainer(
    {
      base,
      backend,
      train,
      shape,
      settings,
      trainables,
      rates: [{ at: () => task.lr }],
      phases,
      source,
      promptEncoder: new PromptEncoder(base, { clipSkip: 1, emphasis: 'original' }, executables),
    },
    new Map([[name, readStart(task.start)]]),
  );
  await trainer.compile();
  return {
    run: async () => {
      const { loss, seconds } = await trainer.advance();
      const states = await trainer.states();
      const read = (state: string): number[] => [...states.get(state)!.data];
      return {
        seconds,
        loss,
        moment: read(`optimizer m.${name}`),
        row: read(`trainable ${name}`),
      };
    },
    dispose: () => trainer.dispose(),
  };
}

function readStart(path: string): HostArray {
  const weight = openSafetensors(path).tensors.get(token)!;
  return hostArray(readFloat32(weight), weight.shape);
}
