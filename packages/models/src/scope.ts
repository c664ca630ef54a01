/** @file How a network reads its parameters, and where adapters reach into it. */
import type { Shape, Tensor, Tracer } from '@sdft/tensor';

/** One layer of a network, as adapters see it. */
export interface Layer {
  /** The diffusers name under its root, such as `unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k`. */
  readonly path: string;
  readonly kind: 'linear' | 'conv2d' | 'norm' | 'embedding';
  /** Length of the input's feature axis (linear: last, conv2d: channels, embedding: rows of the table). */
  readonly in: number;
  /** Length of the output's feature axis. */
  readonly out: number;
  /** Shapes of its parameters by their names: `weight`, and `bias` where it has one. */
  readonly parameters: Readonly<Record<string, Shape>>;
  /** conv2d only. */
  readonly conv?: {
    readonly stride: readonly [number, number];
    readonly padding: readonly [number, number, number, number];
  };
}

/** Reads a parameter of a layer by its own name, such as `weight`. */
export type ReadParameter = (name: string) => Tensor;

/** What a layer computes, with parameters read as it is told. */
export type Apply = (x: Tensor, parameter: ReadParameter) => Tensor;

/** What adapters change while a network is traced. */
export interface Patches {
  /** Stands in for what a layer computes; `parameter` reads the frozen ones. */
  wrap?(layer: Layer, apply: Apply, parameter: ReadParameter): (x: Tensor) => Tensor;
}

/** A place in a network being traced. */
export class Scope {
  readonly tracer: Tracer;
  readonly path: string;
  readonly #patches: Patches;

  constructor(tracer: Tracer, path: string, patches: Patches = {}) {
    this.tracer = tracer;
    this.path = path;
    this.#patches = patches;
  }

  /** The place `name` below this one; `name` may hold dots. */
  at(name: string): Scope {
    return new Scope(this.tracer, this.path ? `${this.path}.${name}` : name, this.#patches);
  }

  /** Runs `body` so that what it adds to the graph, layers below aside, belongs here: for messages and profiles. */
  inside<T>(body: () => T): T {
    return this.tracer.at(this.path, body);
  }

  /** Runs a layer here, with whatever adapters made of it. */
  run(layer: Omit<Layer, 'path'>, apply: Apply, x: Tensor): Tensor {
    const whole: Layer = { ...layer, path: this.path };
    const frozen: ReadParameter = (name) =>
      this.tracer.weight(`${this.path}.${name}`, layer.parameters[name]!);
    return this.inside(() => this.#patches.wrap?.(whole, apply, frozen)(x) ?? apply(x, frozen));
  }
}
