import { webgpu } from '@sdft/tensor/node';
import { describe, test } from 'vitest';
import { caseNamed } from '../../test/replay/cases.ts';
import { expectTrajectory } from '../../test/replay/trajectory.ts';

describe('runs of the reference programs, repeated on webgpu', () => {
  // One of diffusers' script, with rows of the text encoder's table that are trained, and micro-steps that are added up.
  test('ti-accumulate', () => expectTrajectory(caseNamed('ti-accumulate'), webgpu()));
});
