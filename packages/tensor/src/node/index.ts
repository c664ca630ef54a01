export { type CpuOptions, cpu } from './cpu/backend.ts';
export { webgpu, type WebgpuOptions } from './webgpu/backend.ts';
export { type AdapterReport, inspectWebgpu } from './webgpu/inspect.ts';
