import { UserError } from '@sdft/tensor';
import { ddim, ddimPlan } from './ddim.ts';
import { dpmpp2m, dpmpp2mPlan } from './dpmpp2m.ts';
import { euler, eulerPlan } from './euler.ts';
import { eulerAncestral } from './eulerAncestral.ts';
import { plms, plmsPlan } from './plms.ts';
import type { Sampler, SamplerName } from './sampler.ts';

/** Every sampler by its name. */
export const samplers: Readonly<Record<SamplerName, Sampler>> = Object.freeze({
  ddim: { name: 'ddim', plan: ddimPlan, sample: ddim },
  euler: { name: 'euler', plan: eulerPlan, sample: euler },
  'euler-a': { name: 'euler-a', plan: eulerPlan, sample: eulerAncestral },
  plms: { name: 'plms', plan: plmsPlan, sample: plms },
  'dpmpp-2m': { name: 'dpmpp-2m', plan: dpmpp2mPlan, sample: dpmpp2m },
});

/** @throws UserError for a name that is none of the samplers' */
export function samplerNamed(name: string): Sampler {
  const found = Object.values(samplers).find((sampler) => sampler.name === name);
  if (found === undefined) {
    throw new UserError(
      `sampler "${name}" is unknown. Known: ${Object.keys(samplers).join(', ')}.`,
    );
  }
  return found;
}
