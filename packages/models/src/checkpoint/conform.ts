import { UserError, type Weight } from '@sdft/tensor';
import { viewWeight } from './byteSource.ts';
import { safetensorsName, showShape } from './storageType.ts';

/**
 * Holds the tensors of a file against what its networks need. A 1x1 convolution and a linear layer of the same size stand for each other:
 * the shape is adapted, the bytes are not touched.
 *
 * @param found tensors under our paths
 * @param where the file, for messages
 * @param strictRoots paths below these must all be known: an unknown tensor there means another network
 * @returns exactly the expected tensors, in their order
 * @throws UserError listing what is missing, what has another shape, and what is not a floating-point number
 */
export function conform(
  found: ReadonlyMap<string, Weight>,
  expected: ReadonlyMap<string, readonly number[]>,
  where: string,
  strictRoots: readonly string[] = ['unet.'],
): Map<string, Weight> {
  const weights = new Map<string, Weight>();
  const problems: string[] = [];
  for (const [path, shape] of expected) {
    const weight = found.get(path);
    if (!weight) problems.push(`${path} ${showShape(shape)} is missing`);
    else if (!sameUpToOnes(weight.shape, shape))
      problems.push(
        `${path} has shape ${showShape(weight.shape)}, ${showShape(shape)} is expected`,
      );
    else if (!['f32', 'f16', 'bf16', 'f64'].includes(weight.dtype)) {
      problems.push(
        `${path} is stored as ${safetensorsName[weight.dtype]}; floating-point numbers are expected`,
      );
    } else
      weights.set(path, weight.shape.length === shape.length ? weight : viewWeight(weight, shape));
  }
  for (const path of found.keys()) {
    if (!expected.has(path) && strictRoots.some((root) => path.startsWith(root))) {
      problems.push(`${path} is not known: the network is of another kind`);
    }
  }
  if (problems.length === 0) return weights;
  const shown = problems.slice(0, 8).map((problem) => `\n  ${problem}`);
  const more =
    problems.length > shown.length ? `\n  and ${problems.length - shown.length} more` : '';
  throw new UserError(
    `${where}: its tensors do not fit the model that its settings describe:${shown.join('')}${more}`,
  );
}

function sameUpToOnes(a: readonly number[], b: readonly number[]): boolean {
  if (a.length === b.length) return a.every((n, i) => n === b[i]);
  const [long, short] = a.length > b.length ? [a, b] : [b, a];
  return short.every((n, i) => n === long[i]) && long.slice(short.length).every((n) => n === 1);
}
