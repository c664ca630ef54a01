import { findNonFinite } from '@sdft/models';
import { UserError, type Weight } from '@sdft/tensor';

/**
 * Makes sure, before anything is computed, that weights are numbers: one NaN makes every result NaN.
 * @param base as the person named it
 * @param root only weights whose paths begin with it
 * @throws UserError naming the base and the tensors
 */
export function refuseNonFinite(
  base: string,
  weights: ReadonlyMap<string, Weight>,
  root = '',
): void {
  const used = [...weights].filter(([name]) => name.startsWith(root));
  const found = findNonFinite(used);
  if (found.length === 0) return;
  const named = found.slice(0, 5).map(({ name, count }) => `${name} (${count})`);
  const more = found.length > named.length ? ` and ${found.length - named.length} more` : '';
  throw new UserError(
    `${base}: weights that are NaN or infinite: ${named.join(', ')}${more}. The file is damaged or comes from a failed training; use another`,
  );
}
