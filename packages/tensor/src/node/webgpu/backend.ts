/** @file The webgpu backend in Node: Dawn's bindings, on whatever adapter there is. */
import type { Backend, Executable } from '../../backend.ts';
import { UserError } from '../../errors.ts';
import { type DeviceOptions, webgpuOn } from '../../backends/webgpu/backend.ts';
import type { Device } from '../../backends/webgpu/device.ts';
import { type AdapterKind, findAdapter, openDevice } from './adapter.ts';
import { patiently } from './throttle.ts';
import { readFromFiles } from './weights.ts';

export interface WebgpuOptions extends Omit<DeviceOptions, 'read'> {
  /** By default `any`: a graphics card, or else a driver that computes on the processor. */
  readonly adapter?: AdapterKind;
  /** Leaves out the checks of Dawn that a correct program does not need. */
  readonly fast?: boolean;
}

/** Graphics cards through WebGPU. Throws UserError at the first compile where there is no adapter. */
export function webgpu({ adapter = 'any', fast = false, ...options }: WebgpuOptions = {}): Backend {
  let opened: Promise<Device> | undefined;
  const connect = async (): Promise<Device> => {
    const device = await (opened ??= open(adapter, fast));
    if (!device.lost) return device;
    opened = open(adapter, fast);
    return opened;
  };
  const backend = webgpuOn(connect, { ...options, read: readFromFiles });
  return {
    name: 'webgpu',
    precision: options.precision ?? 'f32',
    room: async () => ((await connect()).target.kind === 'software' ? 'host' : 'device'),
    compile: async (graph, compileOptions) => {
      const { target } = await connect();
      const compiled = backend.compile(graph, compileOptions);
      return target.kind === 'software' ? patient(await patiently(compiled)) : compiled;
    },
  };
}

async function open(kind: AdapterKind, fast: boolean): Promise<Device> {
  const found = await findAdapter(kind, fast);
  if (!found)
    throw new UserError(
      `WebGPU finds no ${kind === 'software' ? 'software driver' : 'graphics card'} here. ${mend}`,
    );
  return openDevice(found);
}

/** What to do where there is no adapter. */
export const mend =
  process.platform === 'linux'
    ? 'On Linux it needs a Vulkan driver: for NVIDIA the package libnvidia-gl of the driver and libvulkan1 (VK_DRIVER_FILES names its nvidia_icd.json if that lies elsewhere), for AMD and Intel mesa-vulkan-drivers'
    : 'Update the graphics driver';

/** An executable whose device computes on the processor, which nothing may take away from it. */
function patient(executable: Executable): Executable {
  return {
    memory: executable.memory,
    run: (inputs) => patiently(executable.run(inputs)),
    read: (state) => patiently(executable.read(state)),
    view: (state) => patiently(executable.view(state)),
    write: (state, value) => executable.write(state, value),
    borrow: (state, value) => executable.borrow(state, value),
    dispose: () => executable.dispose(),
  };
}
