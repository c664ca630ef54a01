import type { Plan, Run } from '@sdft/methods';
import { baseText } from '../options/base.ts';
import { bytes, counted } from '../terminal/quantities.ts';

/** What a run is going to do, for people. */
export function described({ base, plan, recipe }: Run, folder: string): string {
  const { memory } = plan;
  const micro = recipe.accumulate > 1 ? `${recipe.accumulate} x ` : '';
  return [
    baseText(recipe.base, base.weights, base.schedule.config, base.notes),
    `data: ${dataText(plan)}`,
    ...validationText(plan, recipe.validation?.every),
    `training: ${counted(plan.parameters, 'number')} in ${counted(plan.trained.size, 'tensor')}, ${micro}${counted(plan.batch, 'picture')} a step, seed ${recipe.seed}`,
    `memory: about ${bytes(memory.total)} (weights ${bytes(memory.weights)}, activations ${bytes(memory.activations)}, training state ${bytes(memory.state)}), beside half a gigabyte for the program itself`,
    `run: ${folder}`,
    ...plan.warnings.map((warning) => `warning: ${warning}`),
  ].join('\n');
}

function validationText({ validation }: Plan, every: number | undefined): string[] {
  if (!validation) return [];
  const { pictures, timesteps } = validation;
  const when = every === undefined ? '' : `, every ${counted(every, 'step')}`;
  return [
    `validation: ${counted(pictures, 'picture')} at ${counted(timesteps, 'timestep')} each${when}`,
  ];
}

function dataText({ data, size }: Plan): string {
  const pixels = size === undefined ? [] : [`${size.width} x ${size.height} pixels`];
  if (data === undefined) return ['batches of a record', ...pixels].join(', ');
  const { pictures, captions, classPictures, classCaptions, missing, epoch } = data;
  const own = [counted(pictures, 'picture'), ...pixels, counted(captions, 'caption')].join(', ');
  if (classPictures === 0) return own;
  const drawn = missing > 0 ? [`${missing} of them to be drawn`] : [];
  const ofClass = [
    counted(classPictures, 'class picture'),
    ...drawn,
    counted(classCaptions, 'caption'),
  ].join(', ');
  return `${own}\n  and ${ofClass}: a batch has one for each picture of the subject, an epoch ${epoch} of both`;
}
