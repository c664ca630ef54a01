export type {
  Backend,
  CompileOptions,
  Executable,
  HostArray,
  MemoryPlan,
  StateValue,
} from './backend.ts';
export { gelu, geglu, quickGelu, silu } from './composites/activations.ts';
export { attention, softmax } from './composites/attention.ts';
export { type Composite, composite, type GradientCall } from './composites/define.ts';
export { customOp, type CustomOp } from './custom/define.ts';
export { groupNorm, layerNorm } from './composites/norms.ts';
export { squaredNorms } from './composites/squaredNorms.ts';
export { internal, unreachable, UserError } from './errors.ts';
export { grad } from './grad/grad.ts';
export type {
  ConvAttributes,
  DType,
  Graph,
  KernelInput,
  KernelThis,
  Shape,
  TensorType,
} from './graph/types.ts';
export { apply, literal, type TensorLike, Tensor } from './trace/tensor.ts';
export { arange, concat, full, stack, trace, type Traced, type Tracer } from './trace/trace.ts';
export type { StorageType, Weight } from './weight.ts';
export {
  type Card,
  type KernelRow,
  planStep,
  type StepPlan,
} from './backends/webgpu/report.ts';
export type { PeakRow } from './backends/webgpu/peak.ts';
export { nullBackend } from './backends/null/backend.ts';
export { reference } from './backends/reference/backend.ts';
export { valueOf } from './host/valueOf.ts';
export { hostArray } from './host/array.ts';
export { type Draws, draws } from './random/draws.ts';
export { nearest } from './host/nearest.ts';
export { printGraph } from './graph/print.ts';
export { optimize } from './optimize/optimize.ts';
