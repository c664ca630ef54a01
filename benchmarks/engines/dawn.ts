/** @file What browsers give to pages and Node does not: `navigator.gpu`, by Dawn's bindings, for engines that look for it there. */
import { create, globals } from 'webgpu';

/** Dropping it while a device lives ends the process. */
let kept: GPU | undefined;

/** With the options that the webgpu backend of sdft gives to Dawn. */
export async function provideGpu(): Promise<string> {
  Object.assign(globalThis, globals);
  kept = create(['enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia']);
  Object.defineProperty(navigator, 'gpu', { value: kept, configurable: true });
  // Dawn asks for results with setImmediate, over and over, which takes a core from a driver that computes on the processor: sdft does the same for itself.
  globalThis.setImmediate = ((callback: (...args: unknown[]) => void, ...args: unknown[]) =>
    setTimeout(callback, 1, ...args)) as unknown as typeof setImmediate;
  const adapter = await kept.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('Dawn finds no adapter');
  return adapter.info.description || adapter.info.device;
}
