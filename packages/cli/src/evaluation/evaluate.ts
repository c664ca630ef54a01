import { weightOf } from '@sdft/models';
import { type Checkpoint } from '@sdft/models/node';
import { type Backend, type HostArray, trace, UserError, type Weight } from '@sdft/tensor';
import type { ModuleName } from '../commands/eval.ts';
import { refuseNonFinite } from '../weights/refuseNonFinite.ts';
import { modules } from './modules.ts';
import { readInputs } from './readInputs.ts';

export interface EvaluateOptions {
  /** Path of a safetensors file. */
  readonly inputs: string;
  readonly clipSkip: number;
  readonly backend: Backend;
}

export interface Evaluation {
  /** f32, by the names of interfaces. */
  readonly tensors: ReadonlyMap<string, Weight>;
  /** Of computing alone. */
  readonly seconds: number;
}

/** Runs one network of a checkpoint. Throws UserError naming file and tensor. */
export async function evaluate(
  name: ModuleName,
  checkpoint: Checkpoint,
  { inputs: file, clipSkip, backend }: EvaluateOptions,
): Promise<Evaluation> {
  const module = modules[name];
  const given = readInputs(file, module, checkpoint);
  const { vocabSize } = checkpoint.textEncoder;
  if (name === 'text') checkRows(given['input_ids']!, 'input_ids', vocabSize, file);
  if (given['class_labels'])
    checkRows(given['class_labels'], 'class_labels', checkpoint.unet.numClassEmbeds!, file);
  const graph = inFile(file, () =>
    trace((tracer) => {
      const tensors = Object.entries(given).map(([input, { shape }]) => [
        input,
        tracer.input(input, shape, module.inputs[input]!.dtype),
      ]);
      return {
        outputs: module.trace(tracer, checkpoint, Object.fromEntries(tensors), { clipSkip }),
      };
    }),
  );
  refuseNonFinite(checkpoint.path, checkpoint.weights, `${module.root}.`);
  const executable = await backend.compile(graph, { weights: checkpoint.weights });
  try {
    const began = performance.now();
    const results = await executable.run(given);
    const seconds = (performance.now() - began) / 1000;
    return {
      tensors: new Map(
        Object.entries(results).map(([output, { data, shape }]) => [
          output,
          weightOf('f32', shape, new Uint8Array(Float32Array.from(data).buffer)),
        ]),
      ),
      seconds,
    };
  } finally {
    await executable.dispose();
  }
}

function checkRows({ data }: HostArray, name: string, rows: number, file: string): void {
  const wrong = data.find((id) => id < 0 || id >= rows);
  if (wrong !== undefined)
    throw new UserError(
      `${file}: tensor ${name} holds ${wrong}; the ${name === 'input_ids' ? 'text encoder' : 'U-Net'} has ${name === 'input_ids' ? 'ids' : 'labels'} 0 to ${rows - 1}`,
    );
}

/** What does not fit came out of the file. */
function inFile<T>(file: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${file}: ${error.message}`, { cause: error });
  }
}
