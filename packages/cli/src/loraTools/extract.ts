import { extractLora, openBase, writeNetwork } from '@sdft/methods';
import type { ExtractFlags } from '../commands/extract.ts';
import { UsageError } from '../failures/usageError.ts';
import { checkTarget } from '../files/checkTarget.ts';
import { backendNamed } from '../options/backend.ts';
import { baseText } from '../options/base.ts';
import { Output } from '../terminal/output.ts';
import { counted } from '../terminal/quantities.ts';

/** Writes what one model has learned beyond another as a LoRA. Throws UserError. */
export async function extract(flags: ExtractFlags): Promise<void> {
  const output = new Output(flags.json ?? false);
  const { out, rank, convRank, clampQuantile, minDiff, format, dtype, force = false } = flags;
  if (clampQuantile > 1)
    throw new UsageError(`--clamp-quantile must be from 0 to 1, not ${clampQuantile}`);
  checkSafetensors('--out', out, force);
  const base = await openBase(flags.base, flags);
  output.note(baseText(flags.base, base.weights, base.schedule.config, base.notes));
  const tuned = await openBase(flags.tuned, {
    emaWeights: flags.emaWeights,
    predictionType: flags.predictionType,
  });
  let line: ReturnType<Output['progress']> | undefined;
  const { layers, kept, sameText, others } = await extractLora(base, tuned, {
    ...{ rank, convRank, clampQuantile, minDiff, backend: await backendNamed('cpu') },
    onLayer: (_, total) =>
      (line ??= output.progress({ title: 'extracting', total, unit: 'layer' })).step({}),
  });
  output.end();
  const metadata =
    convRank === undefined
      ? {}
      : { ss_network_args: JSON.stringify({ conv_dim: convRank, conv_alpha: convRank }) };
  await writeNetwork(out, layers, { format, dtype, force, metadata });
  if (sameText) output.note(`the text encoder differs by no more than ${minDiff}: left out`);
  if (others.length > 0)
    output.warn(
      `${counted(others.length, 'other tensor')} differ too, for which this LoRA has no place: ${others.slice(0, 3).join(', ')}${others.length > 3 ? ', ...' : ''}`,
    );
  output.print(
    `${out}: ${counted(layers.size, 'layer')}, rank ${rank}; ${(100 * kept).toFixed(1)} % of the squares of their change`,
  );
  output.record({ out, layers: layers.size, rank, kept, sameText, others: others.length });
}

/** A LoRA is a .safetensors. Throws UsageError. */
export function checkSafetensors(flag: string, path: string, force: boolean): void {
  if (!/\.safetensors$/i.test(path))
    throw new UsageError(`${flag} ${path}: a LoRA is written as .safetensors`);
  checkTarget(flag, path, force);
}
