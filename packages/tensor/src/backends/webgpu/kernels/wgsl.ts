/** @file How a kernel is spelled: bindings, features, the number of a workgroup, and the limits that all of them respect. */
import { internal } from '../../../errors.ts';
import type { Epilogue, Kernel, Slot, Step, Storage, Target } from '../kernel.ts';

/** What a binding of a kernel shows. */
export interface Operand {
  /** Of the WGSL variable. */
  readonly name: string;
  readonly storage: Storage;
  readonly access: 'read' | 'write' | 'update';
  readonly slot: Slot;
  /** Elements that are touched, for reports. */
  readonly size: number;
  /** The WGSL type of what the array holds, where it is not one element. */
  readonly element?: string;
}

export interface StepSpec {
  readonly name: string;
  readonly operands: readonly Operand[];
  /** Of WGSL: `enable f16` comes by itself. */
  readonly enable?: readonly string[];
  /** Of WGSL, before everything else. */
  readonly directives?: string;
  /** Functions, constants and workgroup memory. */
  readonly declarations?: string;
  /** Bytes of workgroup memory that `declarations` take. */
  readonly shared?: number;
  /** Invocations of a workgroup. */
  readonly invocations: number;
  /** Attributes of the entry point beside its size. */
  readonly attributes?: string;
  /** Built-in values of the entry point beside `group` and `lane`. */
  readonly builtins?: string;
  /** Workgroups. */
  readonly groups: number;
  /** What each invocation does. It knows `id`, the number of its workgroup, and `lane`, its own number in it. */
  readonly body: string;
  readonly flops: number;
}

const bytesOf = (storage: Storage): number => (storage === 'f16' ? 2 : 4);

export const lines = (n: number, line: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => line(i)).join('\n');
export const list = (n: number, item: (i: number) => string): string =>
  Array.from({ length: n }, (_, i) => item(i)).join(', ');
export const ceilDiv = (a: number, b: number): number => Math.ceil(a / b);

/** The element of a binding as f32 (or vec4f). */
export const asFloat = (storage: Storage, element: string, width: 1 | 4 = 1): string =>
  storage === 'f32' ? element : `${width === 1 ? 'f32' : 'vec4f'}(${element})`;
/** An f32 (or vec4f) as what a binding holds. */
export const asStored = (storage: Storage, value: string, width: 1 | 4 = 1): string =>
  storage === 'f32' ? value : `${width === 1 ? storage : `vec4<${storage}>`}(${value})`;

/** That all of some conditions hold, without branches. */
export const every = (conditions: readonly (string | undefined)[]): string | undefined => {
  const present = conditions.filter((c) => c !== undefined);
  return present.length > 0 ? present.map((c) => `(${c})`).join(' & ') : undefined;
};

/** A step of a plan. Throws an internal error where it asks for more than `target` has. */
export function step(spec: StepSpec, target: Target): Step {
  const { operands, shared = 0, invocations, groups } = spec;
  const over = (what: string, asked: number, limit: number) => {
    if (asked > limit)
      throw internal(`kernel ${spec.name} asks for ${asked} ${what}, the device has ${limit}`);
  };
  over('bindings', operands.length, target.bindings);
  over('bytes of workgroup memory', shared, target.workgroupStorage);
  over('invocations in a workgroup', invocations, target.workgroupSize);
  // One axis of a dispatch holds 65535 workgroups.
  const y = ceilDiv(groups, target.workgroups);
  const x = ceilDiv(groups, y);
  over('rows of workgroups', y, target.workgroups);

  const f16 = operands.some((o) => o.storage === 'f16') || spec.enable?.includes('f16');
  const enable = new Set([...(f16 ? ['f16'] : []), ...(spec.enable ?? [])]);
  const code = [
    spec.directives ?? '',
    ...[...enable].map((name) => `enable ${name};`),
    ...operands.map(
      ({ name, storage, element }, i) =>
        `@group(0) @binding(${i}) var<storage, read_write> ${name}: array<${element ?? storage}>;`,
    ),
    spec.declarations ?? '',
    `@compute @workgroup_size(${invocations}) ${spec.attributes ?? ''}`,
    `fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32${spec.builtins ? `, ${spec.builtins}` : ''}) {`,
    y === 1 ? 'let id = group.x;' : `let id = group.x + group.y * ${x}u;`,
    x * y === groups ? '' : `if (id >= ${groups}u) { return; }`,
    spec.body,
    '}',
  ]
    .filter((line) => line !== '')
    .join('\n');
  const kernel: Kernel = {
    name: spec.name,
    code,
    operands: operands.map(({ storage, access }) => ({ storage, access })),
    workgroups: [x, y, 1],
    flops: spec.flops,
    bytes: operands.reduce(
      (sum, { storage, size, access }) =>
        sum + size * bytesOf(storage) * (access === 'update' ? 2 : 1),
      0,
    ),
  };
  return { kernel, slots: operands.map((o) => o.slot) };
}

/** The operands of an epilogue, bound as the plan's inputs from `first` on. */
export const epilogueOperands = (epilogue: Epilogue | undefined, first: number): Operand[] =>
  (epilogue?.operands ?? []).map(({ storage, size }, i) => ({
    name: `extra${i}`,
    storage,
    access: 'read',
    slot: { kind: 'input', index: first + i },
    size,
  }));

/** The value of a result from what was computed: f32, before it is stored. */
export const finish = (epilogue: Epilogue | undefined, value: string, index: string): string =>
  epilogue?.code(
    value,
    index,
    epilogue.operands.map(
      ({ storage }, i) =>
        (at: string) =>
          asFloat(storage, `extra${i}[${at}]`),
    ),
  ) ?? value;

/** Statements that name the places of `number` along axes of `lengths`, last fastest: `name0`, `name1`, ... */
export function places(name: string, number: string, lengths: readonly number[]): string {
  let rest = number;
  const parts: string[] = [];
  for (let i = lengths.length - 1; i > 0; i--) {
    parts.push(`let ${name}${i} = (${rest}) % ${lengths[i]}u;`);
    rest = `(${rest}) / ${lengths[i]}u`;
  }
  if (lengths.length > 0) parts.push(`let ${name}0 = ${rest};`);
  return parts.join(' ');
}
