import type { HostArray, StateValue } from '../backend.ts';

/** The array, asked for now where it comes later. */
export const valueOf = (value: StateValue): HostArray =>
  typeof value === 'function' ? value() : value;
