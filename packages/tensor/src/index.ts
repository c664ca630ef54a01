export { UserError, internal, unreachable } from './errors.ts';
export type { StorageType, Weight } from './weight.ts';
