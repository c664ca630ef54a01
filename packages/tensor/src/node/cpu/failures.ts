/** @file What an error of ONNX Runtime means for whoever called. */
import { failureIn, internal, UserError } from '../../errors.ts';

/** The error for a message of ONNX Runtime, which names the node that failed as LAYER/OPERATOR_NUMBER: a UserError where the caller can mend it. */
export function explain(message: string): Error {
  if (/Cannot find (package|module)|onnxruntime_binding|ERR_DLOPEN_FAILED/.test(message))
    return new UserError(
      `the cpu backend needs onnxruntime-node, which could not be loaded (${message}). Install it again; where its install script cannot download, set ONNXRUNTIME_NODE_INSTALL=skip`,
    );
  const layer = layerOf(message);
  const at = layer && ` in ${layer}`;
  if (/bad[ _]alloc|Failed to allocate memory|Array buffer allocation failed/i.test(message)) {
    const asked = /buffer of size (\d+)/.exec(message)?.[1];
    const what =
      asked === undefined ? ` (${message.trim()})` : ` for ${megabytes(Number(asked))} more`;
    return new UserError(
      `not enough memory${at}${what}. Lower the resolution or the batch, or turn recompute on`,
    );
  }
  const row = /idx=(-?\d+) must be within the inclusive range \[-?\d+,(-?\d+)\]/.exec(message);
  if (row) {
    const [index, rows] = [Number(row[1]), Number(row[2]) + 1];
    const op = /ScatterElements node/.test(message) ? 'scatterAdd' : 'gather';
    // The lowering takes a whole table off negative ones.
    return failureIn(
      op,
      layer,
    )(`index ${index < 0 ? index + rows : index} is not among the ${rows} rows of the table`);
  }
  return internal(`ONNX Runtime${at}: ${message.trim()}`);
}

export const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6)} MB`;

function layerOf(message: string): string {
  const node = /Name:'(.*?)\/[^/']*'/.exec(message) ?? /Node \((.*)\/[^/()]*\) Op/.exec(message);
  return node?.[1] ?? '';
}
