/** @file A model in shares: a thread for each part of the batch, and the rest when all are done. */
import { type Divided, partName } from '../../graph/divide.ts';
import type { DType } from '../../graph/types.ts';
import type { Name } from './emit.ts';
import type { OnnxModel, OnnxValue } from './onnx.ts';
import type { Session } from './runtime.ts';
import { type SharedTensor, share } from './sharedTensor.ts';

type Ports = Pick<OnnxModel, 'inputs' | 'outputs'>;

/** What the models of all shares and of the rest read and write together, seen from outside. */
export function portsOf({ cut, parts }: Divided, shareModel: Ports, rest: Ports): Ports {
  const between = new Set(namesBetween(shareModel, parts).flat());
  const inputs = new Map<Name, OnnxValue>();
  for (const input of shareModel.inputs)
    inputs.set(input.name, isCut(cut, input) ? grown(input, parts) : input);
  for (const input of rest.inputs) if (!between.has(input.name)) inputs.set(input.name, input);
  return { inputs: [...inputs.values()], outputs: rest.outputs };
}

const isCut = (cut: ReadonlySet<string>, { name }: OnnxValue): boolean =>
  name.startsWith('in:') && cut.has(name.slice('in:'.length));
const grown = ({ shape: [first, ...others], ...value }: OnnxValue, parts: number): OnnxValue => ({
  ...value,
  shape: [first! * parts, ...others],
});
/** For each share, what the rest calls its outputs. */
const namesBetween = ({ outputs }: Ports, parts: number): Name[][] =>
  Array.from({ length: parts }, (_, k) =>
    outputs.map(({ name }) => `in:${partName(k, name.slice('out:'.length))}`),
  );

/** Sessions of the same model, one for each share, and the session of the rest. */
export class SharedSession implements Session {
  readonly #shares: readonly Session[];
  readonly #rest: Session;
  readonly #inputs: readonly { readonly value: OnnxValue; readonly isCut: boolean }[];
  readonly #restInputs: readonly Name[];
  /** What lies between the shares and the rest: for each share, as it calls it, and as the rest does. */
  readonly #fetches: readonly SharedTensor[][];
  readonly #between: ReadonlyMap<Name, SharedTensor>;

  constructor(
    shares: readonly Session[],
    rest: Session,
    { cut }: Divided,
    shareModel: Ports,
    restModel: Ports,
  ) {
    this.#shares = shares;
    this.#rest = rest;
    this.#inputs = shareModel.inputs.map((value) => ({ value, isCut: isCut(cut, value) }));
    this.#restInputs = restModel.inputs.map(({ name }) => name);
    const names = namesBetween(shareModel, shares.length);
    this.#fetches = shares.map(() =>
      shareModel.outputs.map(({ name, type, shape }) =>
        share(name, { shape, dtype: type as DType }),
      ),
    );
    this.#between = new Map(
      names.flatMap((list, k) =>
        list.map((name, i) => [name, { ...this.#fetches[k]![i]!, name }] as const),
      ),
    );
  }

  async run(feeds: readonly SharedTensor[], fetches: readonly SharedTensor[]): Promise<void> {
    const given = new Map(feeds.map((feed) => [feed.name, feed]));
    // All have ended before anyone hears of a failure: none writes into what the next call reads.
    const ends = await Promise.allSettled(
      this.#shares.map((session, k) =>
        session.run(
          this.#inputs.map(({ value, isCut }) => {
            const feed = given.get(value.name)!;
            return isCut ? partOf(feed, k, this.#shares.length) : feed;
          }),
          this.#fetches[k]!,
        ),
      ),
    );
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    await this.#rest.run(
      this.#restInputs.map((name) => this.#between.get(name) ?? given.get(name)!),
      fetches,
    );
  }

  async release(): Promise<void> {
    const ends = await Promise.allSettled(
      [...this.#shares, this.#rest].map((session) => session.release()),
    );
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }
}

/** The k-th of equal parts along the first axis, where it lies. */
function partOf(tensor: SharedTensor, k: number, parts: number): SharedTensor {
  const [first, ...others] = tensor.dims;
  const bytes = tensor.bytes / parts;
  return { ...tensor, dims: [first! / parts, ...others], offset: tensor.offset + k * bytes, bytes };
}
