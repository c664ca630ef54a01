/** @file What examples import as `@sdft/methods`: here, a package may not import itself by its name. */
export * from '../../src/index.ts';
