import { layerGlob } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';

/** Learning rates by globs over layers; a rate is a positive number, or A1111's text of rates and steps, and 0 freezes. */
export type LayerRates = Readonly<Record<string, number | string>>;

/**
 * The rate of a layer: that of the last glob that matches its path; undefined where none does.
 *
 * @throws UserError for a negative rate
 */
export function layerRates(rates: LayerRates): (path: string) => number | string | undefined {
  const entries = Object.entries(rates).map(([glob, rate]) => {
    if (typeof rate === 'number' && !(rate >= 0 && Number.isFinite(rate)))
      throw new UserError(
        `lrs: the rate at ${glob} must be a positive number, or 0 to freeze it, got ${rate}`,
      );
    return { matches: layerGlob(glob), rate: Number(rate) === 0 ? 0 : rate };
  });
  entries.reverse();
  return (path) => entries.find(({ matches }) => matches(path))?.rate;
}
