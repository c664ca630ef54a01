import { type Checkpoint, findNonFinite } from '@sdft/models';
import { UserError } from '@sdft/tensor';

/**
 * Makes sure, before anything is computed, that the weights whose paths begin with one of `roots` are numbers: one NaN makes every result NaN.
 * @throws UserError naming the checkpoint and the tensors
 */
export function refuseNonFinite({ path, weights }: Checkpoint, ...roots: readonly string[]): void {
  const used = [...weights].filter(([name]) => roots.some((root) => name.startsWith(root)));
  const found = findNonFinite(used);
  if (found.length === 0) return;
  const named = found.slice(0, 5).map(({ name, count }) => `${name} (${count})`);
  const more = found.length > named.length ? ` and ${found.length - named.length} more` : '';
  throw new UserError(
    `${path}: weights that are NaN or infinite: ${named.join(', ')}${more}. The file is damaged or comes from a failed training; use another`,
  );
}
