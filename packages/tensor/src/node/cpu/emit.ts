/** @file Collects the nodes and constants of an ONNX model while a graph is lowered. */
import { createHash } from 'node:crypto';
import type { AttributeValue, ElementType, OnnxInitializer, OnnxNode, OnnxValue } from './onnx.ts';
import type { Packable } from './copies.ts';

export type Name = string;
interface NodeOptions {
  readonly domain?: 'com.microsoft';
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
}

export class Emitter {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxInitializer[] = [];
  /** Weights that are given at each run. */
  readonly inputs: OnnxValue[] = [];
  readonly #declared = new Set<Name>();
  readonly #constants = new Map<string, Name>();
  /** Reshapes by what they show, and from a reshape to what it shows. */
  readonly #reshapes = new Map<string, Name>();
  readonly #reshaped = new Map<Name, Name>();
  /** Constants that an operator would gladly keep a rearranged copy of. */
  readonly packable = new Map<Name, Packable>();
  /** Prefix of the names of the nodes being emitted: the layer, for profiles. */
  label = '';

  /** Adds a node with one result. */
  node(opType: string, inputs: readonly Name[], options: NodeOptions = {}): Name {
    return this.nodeWith(1, opType, inputs, options)[0]!;
  }

  /** Adds a node with `count` results. */
  nodeWith(
    count: number,
    opType: string,
    inputs: readonly Name[],
    { domain, attributes = {} }: NodeOptions = {},
  ): Name[] {
    const name = `${this.label}/${opType}_${this.nodes.length}`;
    const outputs = Array.from({ length: count }, (_, i) =>
      i === 0 ? `v${this.nodes.length}` : `v${this.nodes.length}_${i}`,
    );
    this.nodes.push({ opType, domain: domain ?? '', name, inputs, outputs, attributes });
    return outputs;
  }

  /** Adds a constant that lies in a file; a second time under its name does nothing. */
  declare(initializer: OnnxInitializer): void {
    if (!this.#isNew(initializer.name)) return;
    this.initializers.push(initializer);
  }

  /** Adds an input that is given at each run; a second time under its name does nothing. */
  declareInput(value: OnnxValue): void {
    if (!this.#isNew(value.name)) return;
    this.inputs.push(value);
  }

  #isNew(name: Name): boolean {
    if (this.#declared.has(name)) return false;
    this.#declared.add(name);
    return true;
  }

  /** A constant, once for all who ask for the same. */
  constant(type: ElementType, shape: readonly number[], bytes: Uint8Array): Name {
    const key = `${type}|${shape.join()}|${createHash('sha256').update(bytes).digest('base64')}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = `c${this.initializers.length}`;
    this.initializers.push({ name, type, shape, bytes });
    this.#constants.set(key, name);
    return name;
  }

  f32(
    values: readonly number[] | number,
    shape: readonly number[] = typeof values === 'number' ? [] : [values.length],
  ): Name {
    return this.constant(
      'f32',
      shape,
      new Uint8Array(new Float32Array(typeof values === 'number' ? [values] : values).buffer),
    );
  }

  i64(values: readonly number[]): Name {
    return this.constant(
      'i64',
      [values.length],
      new Uint8Array(new BigInt64Array(values.map(BigInt)).buffer),
    );
  }

  /** The same numbers in another shape, which costs nothing; once for all who ask for the same. */
  reshape(x: Name, shape: readonly number[]): Name {
    const source = this.#reshaped.get(x) ?? x;
    const key = `${source}|${shape.join()}`;
    const known = this.#reshapes.get(key);
    if (known !== undefined) return known;
    const name = this.node('Reshape', [source, this.i64(shape)]);
    this.#reshapes.set(key, name);
    this.#reshaped.set(name, source);
    return name;
  }

  transpose(x: Name, perm: readonly number[]): Name {
    return this.node('Transpose', [x], { attributes: { perm } });
  }

  slice(x: Name, axes: readonly number[], start: readonly number[], end: readonly number[]): Name {
    return this.node('Slice', [x, this.i64(start), this.i64(end), this.i64(axes)]);
  }

  /** A product of the last two axes, each operand transposed if said so, times `alpha`. `batchBInside`: b is [rows, batch, columns]. */
  matmul(
    a: Name,
    b: Name,
    { transA = false, transB = false, alpha = 1, batchBInside = false } = {},
  ): Name {
    if (!transA && !transB && !batchBInside && alpha === 1) return this.node('MatMul', [a, b]);
    return this.node('FusedMatMul', [a, b], {
      domain: 'com.microsoft',
      attributes: {
        transA: Number(transA),
        transB: Number(transB),
        ...(batchBInside && { transBatchB: 1 }),
        alpha: { float: alpha },
      },
    });
  }
}
