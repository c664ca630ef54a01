/** @file Dynamic loss scaling (Micikevicius et al. 2018, section 3.2; the constants are those of PyTorch's GradScaler). */
import { hostArray, type HostArray, UserError } from '@sdft/tensor';

const START = 2 ** 16;
/** Steps without overflow after which the scale is doubled. */
const INTERVAL = 2000;
/** So that scaled losses stay within f32. */
const LARGEST = 2 ** 24;

interface State {
  readonly scale: number;
  /** Steps since the last overflow or growth. */
  readonly good: number;
  /** Steps that were skipped in all. */
  readonly skipped: number;
}

/** The factor that keeps gradients within f16's range: halved when they overflow, doubled when they have not for long. */
export class LossScale {
  #state: State;

  constructor(state: State = { scale: START, good: 0, skipped: 0 }) {
    this.#state = state;
  }

  /** From what `save` gave. */
  static from({ data }: HostArray): LossScale {
    const [scale, good, skipped] = data as Float32Array;
    return new LossScale({ scale: scale!, good: good!, skipped: skipped! });
  }

  /** [scale, steps since the last change, skipped steps], f32. */
  save(): HostArray {
    const { scale, good, skipped } = this.#state;
    return hostArray(Float32Array.of(scale, good, skipped), [3]) as HostArray;
  }

  get scale(): number {
    return this.#state.scale;
  }

  /** Steps that the optimizer never saw. */
  get skipped(): number {
    return this.#state.skipped;
  }

  /**
   * After a step whose gradient overflowed: what to tell the person.
   *
   * @throws UserError where there is nothing left to halve: the gradient itself is not finite
   */
  overflow(step: number): string {
    const { scale, skipped } = this.#state;
    if (scale <= 1)
      throw new UserError(
        `step ${step}: the gradient is too large for f16 at any loss scale. Lower the learning rate, clip the gradient, or compute in f32 (--precision f32)`,
      );
    this.#state = { scale: scale / 2, good: 0, skipped: skipped + 1 };
    return `step ${step}: the gradient overflowed f16 at a loss scale of ${scale}; the step is skipped, and the scale is ${scale / 2} from now on`;
  }

  /** After a step that went well. */
  success(): void {
    const { scale, good, skipped } = this.#state;
    this.#state =
      good + 1 >= INTERVAL && scale < LARGEST
        ? { scale: scale * 2, good: 0, skipped }
        : { scale, good: good + 1, skipped };
  }
}
