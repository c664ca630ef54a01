/** @file The activations of A1111's hypernetworks: its own names, and those of every class in torch.nn.modules.activation with that class' default settings. */
import { gelu, silu, softmax, type Tensor } from '@sdft/tensor';

/** What an activation may need beside its input. */
export interface ActivationUse {
  /** `prelu`'s slope, [1]. */
  readonly weight: Tensor | undefined;
  /** Uniform in [0, 1), of the input's shape; undefined where nothing is trained. */
  readonly uniform: () => Tensor | undefined;
}

type Activation = (x: Tensor, use: ActivationUse) => Tensor;

/** x where it is positive, else what `rest` makes of it; above 0 `rest` sees 0, so that nothing overflows there. */
const leaky = (x: Tensor, rest: (negative: Tensor) => Tensor): Tensor => {
  const positive = x.greater(0);
  return positive.where(x, rest(positive.where(0, x)));
};
/** exp(x) - 1 below 0 (Clevert et al. 2015, alpha 1). */
const elu: Activation = (x) => leaky(x, (negative) => negative.exp().sub(1));
const hardsigmoid: Activation = (x) => x.add(3).clamp(0, 6).div(6);
const hardswish: Activation = (x) => x.mul(hardsigmoid(x, none));
/** log(1 + exp(x)); above 20 PyTorch takes x. */
const softplus: Activation = (x) => {
  const large = x.greater(20);
  return large.where(x, large.where(0, x).exp().add(1).log());
};
const none: ActivationUse = { weight: undefined, uniform: () => undefined };
/** Klambauer et al. 2017, equation 2. */
const selu = { alpha: 1.6732632423543772, scale: 1.0507009873554805 };
/** Xu et al. 2015: PyTorch's bounds of the random slope. */
const rrelu = { lower: 1 / 8, upper: 1 / 3 };
/** PyTorch takes the first of three axes where none is named: softmax and its kin go over the batch. */
const BATCH = 0;

const activations: Readonly<Record<string, Activation>> = {
  relu: (x) => x.relu(),
  leakyrelu: (x) => leaky(x, (negative) => negative.mul(0.01)),
  elu,
  // A1111's own meaning of the name; PyTorch's swish is silu.
  swish: hardswish,
  tanh: (x) => x.tanh(),
  sigmoid: (x) => x.sigmoid(),
  celu: elu,
  gelu,
  hardshrink: (x) => x.abs().greater(0.5).where(x, 0),
  hardsigmoid,
  hardswish,
  hardtanh: (x) => x.clamp(-1, 1),
  logsigmoid: (x) => x.greater(0).where(0, x).sub(x.abs().neg().exp().add(1).log()),
  logsoftmax: (x) => {
    const shifted = x.sub(x.max(BATCH, { keepDims: true }).stopGradient());
    return shifted.sub(shifted.exp().sum(BATCH, { keepDims: true }).log());
  },
  mish: (x, use) => x.mul(softplus(x, use).tanh()),
  prelu: (x, { weight }) => leaky(x, (negative) => negative.mul(weight!)),
  relu6: (x) => x.clamp(0, 6),
  rrelu: (x, { uniform }) => {
    const random = uniform()
      ?.mul(rrelu.upper - rrelu.lower)
      .add(rrelu.lower);
    return leaky(x, (negative) => negative.mul(random ?? (rrelu.lower + rrelu.upper) / 2));
  },
  selu: (x) => leaky(x, (negative) => negative.exp().sub(1).mul(selu.alpha)).mul(selu.scale),
  silu,
  softmax: (x) => softmax(x, BATCH),
  softmax2d: (x) => softmax(x, BATCH),
  softmin: (x) => softmax(x.neg(), BATCH),
  softplus,
  softshrink: (x) => x.sub(x.clamp(-0.5, 0.5)),
  softsign: (x) => x.div(x.abs().add(1)),
  tanhshrink: (x) => x.sub(x.tanh()),
};

/** All that a module can have; `linear` is no activation at all. */
export const activationNames: readonly string[] = ['linear', ...Object.keys(activations)];

/** Names that A1111 lists although no module can be made of them. */
export const refusedActivations: Readonly<Record<string, string>> = {
  glu: 'halves its input, so that the next layer does not fit; A1111 lists it, but cannot run it either',
  threshold:
    'needs settings that a hypernetwork cannot have; A1111 lists it, but cannot run it either',
  multiheadattention: 'is no activation; A1111 cannot run it either',
};

/** Applies an activation by its name, one of `activationNames`. */
export const activate = (name: string, x: Tensor, use: ActivationUse): Tensor =>
  activations[name]!(x, use);
