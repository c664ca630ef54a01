import type { Tensor, Tracer } from '@sdft/tensor';

/** Runs a part of a network, as a region to compute again for the gradient or as it is. */
export type Region = (body: () => Tensor) => Tensor;

/** `recompute`: each part's intermediates are computed again for the gradient instead of being kept (Chen et al. 2016). */
export const regionFor = (tracer: Tracer, recompute: boolean): Region =>
  recompute ? (body) => tracer.recompute(body) : (body) => body();
