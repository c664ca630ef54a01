/** @file What is done to each element of a product or a normalisation before it is stored, as the expression that becomes part of its kernel. */
import type { NodeId } from '../../graph/types.ts';
import { sizeOf } from '../../graph/types.ts';
import { Body } from './body.ts';
import type { Epilogue } from './kernel.ts';
import { placeAt, variable } from './places.ts';
import type { TensorId } from './program.ts';
import { type Source, Writer } from './writer.ts';

export interface MadeEpilogue {
  readonly epilogue: Epilogue;
  /** The tensors of its operands. */
  readonly operands: readonly TensorId[];
  /** Operations of the graph, that of the kernel included. */
  readonly operations: number;
}

/** From the node `start`, which the kernel computes, to `end`, which is stored; undefined where they are one. */
export function epilogueOf(source: Source, start: NodeId, end: NodeId): MadeEpilogue | undefined {
  if (start === end) return undefined;
  const { shape } = source.node(end);
  const tensors: TensorId[] = [];
  let operations = 0;
  const write = (
    value: string,
    index: string,
    operand: (k: number, at: string) => string,
  ): string => {
    const load = (tensor: TensorId, at: string): string => {
      if (!tensors.includes(tensor)) tensors.push(tensor);
      return operand(tensors.indexOf(tensor), at);
    };
    const writer = new Writer(source, [end], new Body(false), load);
    writer.give(start, value);
    writer.computes(start);
    const code = writer.value(end, placeAt(shape, variable(index, sizeOf(shape))));
    operations = writer.operations;
    return code;
  };
  const key = write('x', 'i', (k, at) => `o${k}[${at}]`);
  return {
    epilogue: {
      key,
      operands: tensors.map((tensor) => {
        const { storage, size } = source.tensor(tensor);
        return { storage, size };
      }),
      code: (value, index, operands) => write(value, index, (k, at) => operands[k]!(at)),
    },
    operands: tensors,
    operations,
  };
}
