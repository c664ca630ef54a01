import { adamw, cpu, pipeline, textualInversion } from '../../src/index.ts';
import { describe, expect, test } from 'vitest';
import { caseNamed, cases, fixture, microSteps } from './cases.ts';
import { expectTrajectory, recordOf } from './trajectory.ts';
import { vectorsIn, vectorsOf } from './vectors.ts';

describe('runs of the reference programs, repeated on the cpu', () => {
  test.for(cases)('$name', (one) => expectTrajectory(one, cpu()));

  test('most cases tell the rate and the norm of every step', () => {
    const telling = cases.filter((one) =>
      microSteps(one).every(
        ({ optimizer_step: ends, lr, grad_norm: norm }) =>
          ends === false || (lr !== undefined && norm !== undefined),
      ),
    );
    expect(telling.map(({ folder }) => folder)).toEqual(
      cases.map(({ folder }) => folder).filter((folder) => folder.startsWith('replay/')),
    );
  });

  test('a text of fewer tokens than vectors is spread over them as A1111 does', async () => {
    const one = caseNamed('ti-a1111-value');
    await using run = await pipeline()
      .flavour('a1111')
      .model(fixture(one.base))
      .method(textualInversion({ token: 'a1111_thing', init: 'oil painting style', vectors: 5 }))
      .optimizer(adamw({ lr: 1e-3 }))
      .build({ replay: recordOf(one) });
    expect(await vectorsOf(run)).toEqual(await vectorsIn(fixture(`${one.folder}/initial.pt`)));
  });
});
