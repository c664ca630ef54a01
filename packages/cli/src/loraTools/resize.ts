import { readNetwork, resizeLora, writeNetwork } from '@sdft/methods';
import type { ResizeFlags } from '../commands/resize.ts';
import { UsageError } from '../failures/usageError.ts';
import { Output } from '../terminal/output.ts';
import { counted } from '../terminal/quantities.ts';
import { checkSafetensors } from './extract.ts';

/** Writes a LoRA with another rank. Throws UserError. */
export async function resize(from: string, to: string, flags: ResizeFlags): Promise<void> {
  const output = new Output(flags.json ?? false);
  const { rank, convRank, rule, value, dtype, force = false } = flags;
  if ((rule === undefined) !== (value === undefined))
    throw new UsageError('--rule and --value belong together: --rule sv_fro --value 0.9');
  if (rule === 'sv_ratio' ? value! <= 0 : rule !== undefined && !(value! > 0 && value! <= 1))
    throw new UsageError(
      `--value ${value}: ${rule} takes ${rule === 'sv_ratio' ? 'a number above 0' : 'a part, above 0 to 1'}`,
    );
  checkSafetensors('<out>', to, force);
  const network = await readNetwork(from);
  const { layers, resized } = resizeLora(
    network.layers,
    { rank, convRank, ...(rule && { rule: { name: rule, value: value! } }) },
    from,
  );
  const format = flags.format ?? network.layout;
  const metadata = Object.fromEntries(
    Object.entries(network.metadata).filter(([name]) => !/^ss_network_(dim|alpha)$/.test(name)),
  );
  const ranks = [...new Set(resized.map((layer) => layer.rank))].sort((a, b) => a - b);
  const dynamic =
    ranks.length > 1 ? { ss_network_dim: 'Dynamic', ss_network_alpha: 'Dynamic' } : {};
  await writeNetwork(to, layers, { format, dtype, force, metadata: { ...metadata, ...dynamic } });
  const mean = resized.reduce((sum, { kept }) => sum + kept, 0) / resized.length;
  const before = [...new Set(resized.map((layer) => layer.before))].sort((a, b) => a - b);
  output.print(
    `${to}: ${counted(resized.length, 'layer')}, rank ${before.join(', ')} -> ${ranks.join(', ')}; ${(100 * mean).toFixed(1)} % of their norm on average`,
  );
  output.record({ out: to, layers: resized.length, ranks, before, kept: mean });
}
