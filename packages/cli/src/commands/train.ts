import { existsSync } from 'node:fs';
import type { Preset, RecipeFlag } from '@sdft/methods';
import { type Command, Option } from 'commander';
import { UsageError } from '../failures/usageError.ts';
import { addBackendOption, type BackendName, type Precision } from '../options/backend.ts';
import { several } from '../options/values.ts';
import { complete, type CommonOptions, defineCommand } from '../program/defineCommand.ts';
import { addRecipeFlags, chosen, recipeOf } from '../training/recipeFlags.ts';

/** What a recipe does not say: the machine, and what is kept of the run. */
export interface RunOptions extends CommonOptions {
  readonly resume?: string;
  readonly logDir?: string;
  readonly record?: string;
  readonly replay?: string;
  readonly backend: BackendName;
  readonly precision: Precision;
  readonly force?: boolean;
}

interface RecipeOptions extends RunOptions {
  readonly set?: readonly string[];
}

/**
 * `sdft train`: a recipe file, or a method by name with its settings as flags. Which methods there are, and which flags they have, is said by the presets.
 * @param args the command line after `train`
 */
export async function trainCommand(summary: string, args: readonly string[]): Promise<Command> {
  const { presets, recipeFlags, variantOf } = await import('@sdft/methods');
  refuseUnknown(args, Object.keys(presets));
  const command = defineCommand('train', summary)
    .enablePositionalOptions()
    .argument('[recipe]', 'a recipe file (YAML), in place of a method with flags')
    .option(
      '--set <key=value>',
      'change a setting of the recipe: --set optimizer.lr=1e-3',
      several,
    );
  addRunOptions(command).action(async (recipe: string | undefined, options: RecipeOptions) => {
    const [{ train }, { recipeFromFile }] = await Promise.all([
      import('../training/train.ts'),
      import('../training/recipeFromFile.ts'),
    ]);
    await train(await recipeFromFile(recipe, options), options);
  });
  for (const preset of Object.values(presets)) {
    const meant = variantOf(preset, chosen(args, recipeFlags(preset), preset.variants?.by));
    command.addCommand(methodCommand(meant, recipeFlags(meant)));
  }
  return complete(
    command,
    ...Object.values(presets).map(({ name, example }) => `train ${name} ${example}`),
    'train recipe.yaml --set steps=500',
  );
}

function methodCommand(preset: Preset, flags: readonly RecipeFlag[]): Command {
  const command = defineCommand(preset.name, preset.summary);
  addRunOptions(addRecipeFlags(command, flags)).action(async (options: RunOptions) => {
    const { train } = await import('../training/train.ts');
    const recipe = { method: preset.name, ...recipeOf({ ...options }, flags) };
    await train({ recipe, relativeTo: '', flags }, options);
  });
  return complete(command, `train ${preset.name} ${preset.example}`);
}

function addRunOptions(command: Command): Command {
  command
    .option('--resume <dir>', 'go on from the newest state of the run in this folder')
    .option(
      '--log-dir <dir>',
      'folder of the run: recipe, metrics, states, previews (default: runs/NAME)',
    )
    .option('--record <file>', 'write every batch and every random draw to this file')
    .option('--replay <file>', 'train on the batches and draws of such a file')
    .addOption(
      new Option('--precision <type>', 'of frozen weights and activations; f16 on webgpu')
        .choices(['f32', 'f16'])
        .default('f32'),
    )
    .option('--force', 'overwrite what is there');
  return addBackendOption(
    command,
    ['cpu', 'reference', 'null'],
    'what computes; reference is slow and exact, null only plans and says what memory the run needs',
  );
}

/** A misspelt method would be taken for a recipe file, and each of its flags for unknown. */
function refuseUnknown(args: readonly string[], methods: readonly string[]): void {
  const [first] = args;
  if (first === undefined || first.startsWith('-') || methods.includes(first)) return;
  if (existsSync(first) || /\.ya?ml$/i.test(first)) return;
  throw new UsageError(
    `there is neither a method nor a recipe file called ${first}. Methods: ${methods.join(', ')}`,
  );
}
