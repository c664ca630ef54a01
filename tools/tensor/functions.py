"""Cases for the composites and for the methods of Tensor, by the name under which the test finds each."""

import math

import torch
import torch.nn.functional as F

from recorder import Recorder, apart, indices, normal, positive

r = Recorder()

# Activations.
activations = {
    "silu": F.silu,
    "gelu": F.gelu,
    "quickGelu": lambda x: x * torch.sigmoid(1.702 * x),
    "geglu": lambda x: (lambda a, b: a * F.gelu(b))(*x.chunk(2, -1)),
}
for name, f in activations.items():
    r.case(name, name, f, [normal(3, 1, 6) * 3])
    r.case(f"{name} far out", name, f, [torch.tensor([[100.0, -100.0, 30.0, -30.0, 0.0, 5.0]])])

# Softmax.
for axis in (-1, 0, 1):
    r.case(f"softmax along {axis}", "softmax", lambda x, a=axis: F.softmax(x, a), [normal(3, 5, 7) * 2], {"axis": axis})
r.case("softmax of huge numbers", "softmax", lambda x: F.softmax(x, -1), [torch.tensor([[1e4, 1e4, -1e4], [3e38, 1.0, 0.0], [-1e30, -1e30, -2e30]])], {"axis": -1}, smooth=False)
r.case("softmax of one", "softmax", lambda x: F.softmax(x, -1), [normal(4, 1)], {"axis": -1})


# Attention: the formula, in float64, rather than the fused kernels.
def attention(q, k, v, heads, scale, causal):
    split = lambda t: t.reshape(t.shape[0], t.shape[1], heads, -1).transpose(1, 2)
    scores = split(q) @ split(k).mT * (scale if scale is not None else 1 / math.sqrt(q.shape[2] / heads))
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
    return (torch.softmax(scores, -1) @ split(v)).transpose(1, 2).reshape(q.shape[0], q.shape[1], -1)


for label, (q, k, v), heads, scale, causal in (
    ("one head", ([2, 3, 4], [2, 3, 4], [2, 3, 4]), 1, None, False),
    ("across", ([2, 5, 6], [2, 7, 6], [2, 7, 6]), 3, None, False),
    ("wider values", ([1, 3, 4], [1, 5, 4], [1, 5, 6]), 2, None, False),
    ("scaled", ([2, 4, 6], [2, 3, 6], [2, 3, 6]), 2, 0.3, False),
    ("causal", ([2, 7, 6], [2, 7, 6], [2, 7, 6]), 3, None, True),
    ("one query and key", ([3, 1, 4], [3, 1, 4], [3, 1, 4]), 2, None, True),
):
    options = {"heads": heads, "causal": causal} | ({} if scale is None else {"scale": scale})
    r.case(
        f"attention {label}",
        "attention",
        lambda q, k, v, h=heads, s=scale, c=causal: attention(q, k, v, h, s, c),
        [normal(*q), normal(*k), normal(*v)],
        options,
    )
q, k = normal(1, 3, 4) * 30, normal(1, 4, 4) * 30
r.case(
    "attention with large scores",
    "attention",
    lambda q, k, v: attention(q, k, v, 2, None, False),
    [q, k, normal(1, 4, 4)],
    {"heads": 2, "causal": False},
    smooth=False,
    # The exponential turns an absolute error of a score into a relative one.
    amplification=round(float((q @ k.mT).abs().max())),
)

# Norms.
for shape in ([4, 7], [2, 3, 5], [2, 1, 3, 4]):
    c = shape[-1]
    r.case(f"layerNorm {shape}", "layerNorm", lambda x, g, b: F.layer_norm(x, x.shape[-1:], g, b, 1e-5), [normal(*shape) * 2 + 1, normal(c), normal(c)], {"eps": 1e-5})
r.case("layerNorm of nearly equal numbers", "layerNorm", lambda x, g, b: F.layer_norm(x, x.shape[-1:], g, b, 1e-5), [normal(3, 6) * 1e-3 + 2, normal(6), normal(6)], {"eps": 1e-5}, smooth=False, amplification=2000)  # the mean over the deviation
for shape, groups, eps in (
    ([2, 6, 5, 3], 3, 1e-5),
    ([1, 4, 7, 7], 4, 1e-6),
    ([3, 4, 1, 5], 1, 1e-5),
    ([2, 8, 3], 2, 1e-6),
    ([5, 6], 2, 1e-5),
):
    c = shape[1]
    r.case(
        f"groupNorm {shape} in {groups}",
        "groupNorm",
        lambda x, g, b, n=groups, e=eps: F.group_norm(x, n, g, b, e),
        [normal(*shape) * 2 - 1, normal(c), normal(c)],
        {"groups": groups, "eps": eps},
    )

# Methods, with broadcasting as NumPy's.
a, b = apart(3, 1, 5), apart(4, 1) + 0.1
for name, f in {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}.items():
    r.case(f"{name} broadcasts", name, f, [a, b])
    r.case(f"{name} with a scalar tensor", name, f, [torch.tensor(0.3), a])
r.case("pow broadcasts", "pow", torch.pow, [positive(3, 1, 2), normal(4, 1)])
r.case("pow by a number", "powBy", lambda x: x**3, [apart(2, 3)], {"exponent": 3})
r.case("less broadcasts", "less", torch.lt, [a, b], gradient=False)
r.case("greater broadcasts", "greater", torch.gt, [a, b], gradient=False)
r.case("equal broadcasts", "equal", torch.eq, [indices([[1], [2]]), indices([1, 2, 3])], gradient=False)
r.case("where broadcasts", "where", torch.where, [torch.tensor([[True], [False]]), normal(3), normal(4, 1, 1)])
r.case("where with numbers", "whereNumber", lambda c, x: torch.where(c, x, -2.0), [torch.tensor([[True], [False]]), normal(3)], {"otherwise": -2})
r.case("rsqrt", "rsqrt", torch.rsqrt, [positive(2, 3)])
r.case("reciprocal", "reciprocal", torch.reciprocal, [positive(2, 3)])
r.case("square", "square", torch.square, [normal(2, 3)])
r.case("relu", "relu", torch.relu, [torch.tensor([-1.0, 0.0, 2.0, -0.0])], smooth=False)
r.case("relu of extremes", "relu", torch.relu, [torch.tensor([math.nan, math.inf, -math.inf])], gradient=False)
r.case("clamp", "clamp", lambda x: x.clamp(-1, 2), [torch.tensor([-3.0, -1.0, 0.5, 2.0, 2.5])], {"low": -1, "high": 2}, smooth=False)
r.case("clamp of extremes", "clamp", lambda x: x.clamp(-1, 2), [torch.tensor([math.nan, math.inf, -math.inf])], {"low": -1, "high": 2}, gradient=False)
x = normal(2, 3, 5)
for name, f in {"sum": torch.sum, "mean": torch.mean, "max": torch.amax}.items():
    data = apart(2, 3, 5) if name == "max" else x
    r.case(f"{name} of all", name, lambda t, f=f: f(t, (0, 1, 2)), [data])
    r.case(f"{name} along -1", name, lambda t, f=f: f(t, (-1,)), [data], {"axes": [-1]})
    r.case(f"{name} along 0, -2 kept", name, lambda t, f=f: f(t, (0, -2), keepdim=True), [data], {"axes": [0, -2], "keepDims": True})
for label, left, right in (("batch", [2, 1, 3, 4], [5, 4, 2]), ("rows", [2, 3, 5, 4], [4, 2]), ("plain", [3, 4], [4, 2])):
    r.case(f"matmul broadcasts {label}", "matmul", torch.matmul, [normal(*left), normal(*right)])
r.case("matmul with a stored weight", "matmul", lambda p, q: p @ q.mT, [normal(2, 3, 4), normal(5, 4)], {"transposeB": True})
r.case("matmul of a transposed operand", "matmul", lambda p, q: p.mT @ q, [normal(2, 4, 3), normal(4, 5)], {"transposeA": True})
r.case("reshape with a rest", "reshape", lambda t: t.reshape(5, -1), [x], {"shape": [5, -1]})
r.case("permute from the end", "permute", lambda t: t.permute(-1, 0, 1), [x], {"axes": [-1, 0, 1]})
r.case("transpose", "transpose", lambda t: t.transpose(-2, -1), [x])
r.case("broadcastTo", "broadcastTo", lambda t: t.expand(4, 2, 3), [normal(3)], {"shape": [4, 2, 3]})
r.case("unsqueeze at the end", "unsqueeze", lambda t: t.unsqueeze(-1), [x], {"axis": -1})
r.case("squeeze", "squeeze", lambda t: t.squeeze(1), [normal(2, 1, 3)], {"axis": 1})
r.case("pad the last axes", "pad", lambda t: F.pad(t, (1, 2, 0, 3)), [x], {"widths": [[0, 3], [1, 2]]})
r.case("slice from the end", "slice", lambda t: t[:, -2:-1], [x], {"axis": 1, "start": -2, "end": -1})
r.case("chunk", "chunk", lambda t: t.chunk(3, 1), [x], {"parts": 3, "axis": 1})
r.case("gather", "gather", lambda t, k: t[k.long()], [x, indices([1, 0, 1, 1])])
r.case("concat along -1", "concat", lambda p, q: torch.cat([p, q], -1), [x, normal(2, 3, 2)], {"axis": -1})
r.case("stack", "stack", lambda p, q: torch.stack([p, q], 1), [x, normal(2, 3, 5)], {"axis": 1})
