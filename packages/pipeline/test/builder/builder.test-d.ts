/** @file What the compiler refuses. Nothing here runs: `tsc` is the test, and an error that does not come is one. */
import { images, withClassImages } from '@sdft/data';
import { adamw } from '@sdft/optim';
import { type Method, type Objective, pipeline } from '../../src/index.ts';
import { lowRank } from '../support/small.ts';

declare const plain: Objective;
declare const prior: Objective<'class'>;
declare const dreamBooth: Method<'class'>;
const instances = images('photos/rex');
const both = withClassImages(instances, 'photos/dogs');
const stem = pipeline()
  .model('nano')
  .adapter(lowRank())
  .optimizer(adamw({ lr: 1e-3 }));

export const fine = [
  () => stem.objective(plain).data(instances).build(),
  () => stem.objective(plain).data(both).build(),
  () => stem.objective(prior).data(both).build(),
  () => stem.data(both).objective(prior).seed(1).build({ logDir: 'runs/rex' }),
  // Data may come from a record.
  () => stem.objective(prior).build({ replay: 'record.safetensors' }),
  () => stem.data(instances).objective(prior).objective(plain).build(),
  () => stem.objective(prior).data(instances).data(both).build(),
];

export const refused = [
  // @ts-expect-error an objective that needs class images, data that has none
  () => stem.objective(prior).data(instances).build(),
  // @ts-expect-error the same, in the other order, with more in between
  () => stem.data(instances).objective(prior).seed(1).batch(2).build(),
  // @ts-expect-error a method brings its objective along
  () => stem.data(instances).method(dreamBooth).build(),
  // @ts-expect-error there is no such setting
  () => stem.with({ clipskip: 2 }),
  // @ts-expect-error nor such a schedule
  () => stem.schedule({ name: 'cosin' }),
];
