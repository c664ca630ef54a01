import { flushCompileCache } from 'node:module';
import { afterAll } from 'vitest';

// The processes of tests are ended in a way in which Node would not write it.
afterAll(() => flushCompileCache());
