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

/** What a layer computes. */
export type Apply = (x: Tensor) => Tensor;

/** What adapters change while a network is traced. */
export interface Patches {
  /** Stands in for a parameter (full path, with `.weight` or `.bias`); undefined leaves the frozen one. */
  parameter?(path: string, shape: Shape): Tensor | undefined;
  /** Stands in for what a layer computes; `parameter` reads one of the layer's own. */
  wrap?(layer: Layer, apply: Apply, parameter: (name: string) => Tensor): Apply;
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

  /** A parameter of the layer here: frozen, unless an adapter stands in for it. */
  parameter(name: string, shape: Shape): Tensor {
    const path = `${this.path}.${name}`;
    return this.#patches.parameter?.(path, shape) ?? this.tracer.weight(path, shape);
  }

  /** Runs a layer here, with whatever adapters made of it. */
  run(layer: Omit<Layer, 'path'>, apply: Apply, x: Tensor): Tensor {
    const whole: Layer = { ...layer, path: this.path };
    const parameter = (name: string) => this.parameter(name, layer.parameters[name]!);
    return this.inside(() => (this.#patches.wrap?.(whole, apply, parameter) ?? apply)(x));
  }
}
