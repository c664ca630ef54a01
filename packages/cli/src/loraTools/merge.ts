import { mergeLora, openBase, writeWholeModel } from '@sdft/methods';
import type { MergeFlags } from '../commands/merge.ts';
import { UsageError } from '../failures/usageError.ts';
import { checkTarget } from '../files/checkTarget.ts';
import { splitStrength } from '../generation/learned.ts';
import { backendNamed } from '../options/backend.ts';
import { baseText } from '../options/base.ts';
import { Output } from '../terminal/output.ts';
import { counted } from '../terminal/quantities.ts';
import { refuseNonFinite } from '../weights/refuseNonFinite.ts';

/** Writes the base with the files added into its weights. Throws UserError. */
export async function merge(flags: MergeFlags): Promise<void> {
  const output = new Output(flags.json ?? false);
  const { out, dtype, force = false } = flags;
  const isFile = /\.(safetensors|ckpt)$/i.test(out);
  if (!isFile && /\.(pt|pth|bin|sft|gguf|onnx)$/i.test(out))
    throw new UsageError(
      `--out ${out}: a checkpoint is written as one .safetensors or .ckpt file, or as a folder, whose name has no ending`,
    );
  checkTarget('--out', out, force, isFile ? 'file' : 'folder');
  const base = await openBase(flags.base, flags);
  output.note(baseText(flags.base, base.weights, base.schedule.config, base.notes));
  const files = flags.lora.map(splitStrength);
  refuseNonFinite(flags.base, base.weights);
  const weights = await mergeLora(base, files, await backendNamed('cpu'));
  const changed = [...weights].filter(([name, weight]) => base.weights.get(name) !== weight).length;
  for (const file of await writeWholeModel(out, base, weights, { dtype, force }))
    if (file !== out) output.note(`wrote ${file}`);
  output.print(
    `${out}: ${flags.base} with ${files.map(({ file, strength = 1 }) => `${file} (${strength})`).join(', ')} in ${counted(changed, 'tensor')}`,
  );
  output.record({ out, base: flags.base, lora: files, changed });
}
