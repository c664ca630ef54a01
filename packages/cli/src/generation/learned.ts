import { existsSync } from 'node:fs';
import { type Learned, learnedKinds } from '@sdft/methods';
import type { Base } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import type { DrawingFlags } from '../options/drawing.ts';

/** Opens what was learned, in the order of the kinds. Throws UserError naming flag and file. */
export async function openLearned(flags: DrawingFlags, base: Base): Promise<Learned[]> {
  const opened: Learned[] = [];
  for (const kind of Object.values(learnedKinds))
    for (const given of (flags as unknown as Record<string, readonly string[] | undefined>)[
      kind.name
    ] ?? []) {
      const { file, strength } = splitStrength(given);
      try {
        opened.push({ ...(await kind.open(file, base)), strength });
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        throw new UserError(`--${kind.name} ${error.message}`);
      }
    }
  return opened;
}

/** `FILE:0.8` is a file with a strength, unless there is a file of that very name. */
export function splitStrength(text: string): { file: string; strength: number | undefined } {
  const [, file, number] = /^(.+):([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)$/i.exec(text) ?? [];
  if (file === undefined || existsSync(text)) return { file: text, strength: undefined };
  return { file, strength: Number(number) };
}
