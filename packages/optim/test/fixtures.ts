import { readFileSync } from 'node:fs';

/** The fixtures that tools/optim/make_fixtures.py wrote. */
export const fixture = <T>(name: string): T =>
  JSON.parse(
    readFileSync(new URL(`../../../fixtures/optim/${name}.json`, import.meta.url), 'utf8'),
  ) as T;
