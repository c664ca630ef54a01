/** @file Which trainables a set of adapters has, on a given base, and where they attach. */
import type { Layer as LayerInfo } from '@sdft/models';
import type { ScheduledNumber } from '@sdft/optim';
import { nearest, UserError } from '@sdft/tensor';
import type { Adapter, Initial } from '../contracts.ts';
import { layerGlob } from './layerGlob.ts';
import { checkStart, type Phase, phaseOf } from './phases.ts';

/** One trainable tensor. */
export interface Trainable {
  /** `ADAPTER/KEY/PARAMETER`, unique in a run. */
  readonly name: string;
  /** Index of its adapter. */
  readonly adapter: number;
  /** Path of its layer, or the key that several layers share. */
  readonly key: string;
  readonly parameter: string;
  readonly initial: Initial;
  /** Index of its learning rate. */
  readonly rate: number;
  /** Index of the steps in which it is trained. */
  readonly phase: number;
  /** Its adapter's own, where it has one for this layer. */
  readonly weightDecay: number | undefined;
}

/** An adapter at a layer. */
export interface Attachment {
  readonly adapter: number;
  readonly key: string;
  /** The adapter's names for its trainables here, and their full names. */
  readonly parameters: Readonly<Record<string, string>>;
}

export interface Rate {
  readonly lr: ScheduledNumber | undefined;
  readonly factor: number;
  readonly phase: Phase;
}

export interface Attached {
  /** In the order of adapters, then of layers. */
  readonly trainables: readonly Trainable[];
  /** The learning rates that differ, or whose clocks do; without `lr` it is the optimizer's. The first one is that of the first trainable. */
  readonly rates: readonly Rate[];
  /** Steps in which adapters are trained, those that differ. */
  readonly phases: readonly Phase[];
  /** By layer path, in the order in which the adapters wrap one another. */
  readonly at: ReadonlyMap<string, readonly Attachment[]>;
  /** All that adapters may attach to. */
  readonly layers: readonly LayerInfo[];
  /** Whether a part of the text encoder is trained. */
  readonly text: boolean;
}

/** Names of the adapters, made unique by their place: `lora`, `lora-2`. */
export function adapterNames(adapters: readonly Adapter[]): string[] {
  return adapters.map(({ name }, i) => {
    const before = adapters.slice(0, i).filter((other) => other.name === name).length;
    return before === 0 ? name : `${name}-${before + 1}`;
  });
}

/**
 * Attaches adapters to the layers that they name.
 *
 * @throws UserError where an adapter matches no layer, layers that share trainables differ in their shapes, or steps are no range
 */
export function attach(adapters: readonly Adapter[], layers: readonly LayerInfo[]): Attached {
  const names = adapterNames(adapters);
  const trainables = new Map<string, Trainable>();
  const at = new Map<string, Attachment[]>();
  const rates: Rate[] = [];
  const phases: Phase[] = [];
  adapters.forEach((adapter, index) => {
    const phase = phaseOf(adapter);
    const phaseIndex = indexIn(phases, phase, (a, b) => a.from === b.from && a.to === b.to);
    const rateOf = (layer: LayerInfo, parameter: string): number => {
      const lr = of(adapter.lr, layer);
      const factor = adapter.lrFactor?.(layer, parameter) ?? 1;
      const rate = { lr, factor, phase: phases[phaseIndex]! };
      return indexIn(
        rates,
        rate,
        (a, b) => a.lr === b.lr && a.factor === b.factor && a.phase === b.phase,
      );
    };
    for (const layer of layersOf(adapter, layers)) {
      const key = adapter.share?.(layer) ?? layer.path;
      const parameters: Record<string, string> = {};
      for (const [parameter, initial] of Object.entries(adapter.init(layer))) {
        const name = `${names[index]}/${key}/${parameter}`;
        parameters[parameter] = name;
        const known = trainables.get(name);
        if (!known)
          trainables.set(name, {
            ...{ name, adapter: index, key, parameter, initial },
            rate: rateOf(layer, parameter),
            phase: phaseIndex,
            weightDecay: of(adapter.weightDecay, layer),
          });
        else if (known.initial.shape.join() !== initial.shape.join())
          throw new UserError(
            `adapter ${adapter.name}: layers that share "${key}" need ${parameter} of one shape; ${layer.path} wants [${initial.shape.join(', ')}], another layer [${known.initial.shape.join(', ')}]`,
          );
      }
      at.set(layer.path, [...(at.get(layer.path) ?? []), { adapter: index, key, parameters }]);
    }
  });
  checkStart(phases);
  return {
    trainables: [...trainables.values()],
    phases,
    at: new Map([...at].map(([path, attachments]) => [path, inOrder(attachments, adapters)])),
    layers,
    rates,
    text: [...at.keys()].some((path) => path.startsWith('text_encoder')),
  };
}

/** Index of an equal item, which is added where there is none. */
function indexIn<T>(items: T[], item: T, equal: (a: T, b: T) => boolean): number {
  const known = items.findIndex((other) => equal(other, item));
  return known >= 0 ? known : items.push(item) - 1;
}

/** The layers at which an adapter attaches. */
function layersOf(adapter: Adapter, layers: readonly LayerInfo[]): readonly LayerInfo[] {
  if (typeof adapter.at === 'function') return adapter.at(layers);
  const matches = layerGlob(adapter.at);
  const met = layers.filter(({ path }) => matches(path));
  if (met.length === 0) throw noLayer(adapter.name, adapter.at, layers);
  return met;
}

/** In the order in which adapters wrap one another: the outermost, which sees the layer's input first, comes last. */
function inOrder(attachments: readonly Attachment[], adapters: readonly Adapter[]): Attachment[] {
  const onInput = ({ adapter }: Attachment): boolean => adapters[adapter]!.side === 'input';
  return [
    ...attachments.filter((attachment) => !onInput(attachment)),
    ...attachments.filter(onInput).toReversed(),
  ];
}

/** A setting that may differ from layer to layer. */
const of = <T extends number | string>(
  setting: T | ((layer: LayerInfo) => T | undefined) | undefined,
  layer: LayerInfo,
): T | undefined => (typeof setting === 'function' ? setting(layer) : setting);

function noLayer(
  name: string,
  at: string | readonly string[],
  layers: readonly LayerInfo[],
): UserError {
  const globs = [at].flat().join(', ');
  const close = nearest(
    globs,
    layers.map(({ path }) => path),
  );
  return new UserError(
    `adapter ${name}: no layer is called ${globs}; the nearest is ${close}. Parts of a path are joined by dots, * stands for one part and ** for several`,
  );
}
