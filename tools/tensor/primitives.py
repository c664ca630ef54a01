"""Cases for every primitive of the graph, with the primitive's own attributes."""

import math

import torch
import torch.nn.functional as F

from recorder import Recorder, apart, indices, normal, positive

r = Recorder()
INF, NAN = math.inf, math.nan
special = torch.tensor([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-38, -1e-30, 88.0, -104.0, 1e10])

# Leaves.
r.case("input", "input", lambda x: x, [normal(3, 1, 5)])
r.case("input of integers", "input", lambda x: x, [indices([[1, -2], [3, 2147483647]])], gradient=False)
r.case("input of truth values", "input", lambda x: x, [torch.tensor([True, False, True])], gradient=False)
r.case("weight", "weight", lambda x: x, [normal(2, 3)], gradient=False)
r.case(
    "constant",
    "constant",
    lambda: torch.tensor([[1.5, -2.0, 1e-20]], dtype=torch.float64),
    [],
    {"data": [1.5, -2.0, 1e-20], "type": {"shape": [1, 3], "dtype": "f32"}},
    gradient=False,
)
r.case(
    "constant of one number",
    "constant",
    lambda: torch.full((3, 2), 7, dtype=torch.int32),
    [],
    {"data": [7], "type": {"shape": [3, 2], "dtype": "i32"}},
    gradient=False,
)
r.case(
    "constant scalar",
    "constant",
    lambda: torch.tensor(True),
    [],
    {"data": [1], "type": {"shape": [], "dtype": "bool"}},
    gradient=False,
)

# One operand.
unary = {
    "neg": torch.neg,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "sigmoid": torch.sigmoid,
    "abs": torch.abs,
    "sign": torch.sign,
}
for name, f in unary.items():
    x = positive(3, 1, 5) if name in ("log", "sqrt") else apart(3, 1, 5) * 0.7
    r.case(name, name, f, [x])
    r.case(f"{name} of a scalar", name, f, [torch.tensor(0.7)])
    if name not in ("sign", "sin", "cos"):
        r.case(f"{name} of extremes", name, f, [special], gradient=False)
r.case("abs at 0", "abs", torch.abs, [torch.tensor([0.0, -1.0, 2.0])], smooth=False)
r.case("sign at 0", "sign", torch.sign, [torch.tensor([0.0, -3.0, 2.0, INF, -INF])], gradient=False)
r.case("erf over its range", "erf", torch.erf, [torch.linspace(-7, 7, 113)])
r.case("sin far out", "sin", torch.sin, [torch.tensor([100.0, -1000.0, 12345.678])], smooth=False)
r.case("cos far out", "cos", torch.cos, [torch.tensor([100.0, -1000.0, 12345.678])], smooth=False)

# Two operands.
binary = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "pow": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}
grid = torch.cartesian_prod(special[:10], special[:10])
for name, f in binary.items():
    a = positive(2, 3, 1, 5) if name == "pow" else apart(2, 3, 1, 5)
    b = normal(2, 3, 1, 5) if name == "pow" else apart(2, 3, 1, 5) + 0.1
    r.case(name, name, f, [a, b])
    r.case(f"{name} with itself", name, f, [a, a], smooth=name not in ("maximum", "minimum"))
    if name != "pow":
        r.case(f"{name} of extremes", name, f, [grid[:, 0], grid[:, 1]], gradient=False)
i, j = indices([7, -7, 2147483647, -2147483647, 65537, 0]), indices([2, 2, 1, -1, 65537, 5])
for name in ("add", "sub", "mul", "maximum", "minimum"):
    r.case(f"{name} of integers", name, binary[name], [i, j], gradient=False)
r.case("div of integers", "div", lambda a, b: torch.div(a, b, rounding_mode="trunc"), [i, j], gradient=False)
r.case("pow of integers", "pow", torch.pow, [indices([3, -2, 0, 5, 2]), indices([4, 3, 0, 1, 10])], gradient=False)
bases = torch.tensor([-INF, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, INF, NAN])
exponents = torch.tensor([-INF, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, INF, NAN])
corners = torch.cartesian_prod(bases, exponents)
r.case("pow of corners", "pow", torch.pow, [corners[:, 0], corners[:, 1]], gradient=False)
r.case(
    "slopes of pow at 0 and below",
    "pow",
    torch.pow,
    [torch.tensor([0.0, 0.0, 0.0, 0.0, 2.0, -2.0]), torch.tensor([0.0, 1.0, 2.0, 3.0, 0.0, 0.0])],
    smooth=False,
)
r.case(
    "slope of pow at negative bases",
    "pow",
    lambda a: torch.pow(a, torch.tensor([2.0, 3.0, -1.0, -2.0], dtype=torch.float64)),
    [torch.tensor([-2.0, -0.5, -1.5, -3.0])],
    {"exponent": [2, 3, -1, -2]},
)
ties = torch.tensor([1.0, 2.0, 2.0, -1.0]), torch.tensor([1.0, 2.0, 3.0, -1.0])
r.case("maximum of ties", "maximum", torch.maximum, ties, smooth=False)
r.case("minimum of ties", "minimum", torch.minimum, ties, smooth=False)

for name, f in {"less": torch.lt, "equal": torch.eq}.items():
    a = torch.tensor([1.0, 2.0, 3.0, NAN, INF, -0.0])
    b = torch.tensor([2.0, 2.0, 1.0, NAN, INF, 0.0])
    r.case(name, name, f, [a, b], gradient=False)
    r.case(f"{name} of integers", name, f, [i, j], gradient=False)
r.case(
    "equal of truth values",
    "equal",
    torch.eq,
    [torch.tensor([True, True, False]), torch.tensor([True, False, False])],
    gradient=False,
)
condition = torch.tensor([[True, False, True], [False, False, True]])
r.case("where", "where", torch.where, [condition, normal(2, 3), normal(2, 3)])
r.case("where hides what is not finite", "where", torch.where, [condition, torch.tensor([[1.0, NAN, 2.0], [INF, NAN, 3.0]]), torch.tensor([[NAN, 4.0, INF], [5.0, 6.0, NAN]])], smooth=False)
r.case("where of integers", "where", torch.where, [condition, indices([[1, 2, 3], [4, 5, 6]]), indices([[-1, -2, -3], [-4, -5, -6]])], gradient=False)
floats = torch.tensor([1.7, -1.7, 0.0, 2.0, -0.3, 1e6])
truths = torch.tensor([True, False, True])
kinds = {"f32": torch.float64, "i32": torch.int32, "bool": torch.bool}
for source, x in {"f32": floats, "i32": indices([3, 0, -4]), "bool": truths}.items():
    for target, dtype in kinds.items():
        if source != target:
            r.case(f"cast {source} to {target}", "cast", lambda t, d=dtype: t.to(d), [x], {"dtype": target}, gradient=False)

# Reductions, and their ties.
for axes in ([0], [1], [2], [0, 2], [1, 3], [0, 1, 2, 3]):
    label = ",".join(map(str, axes))
    r.case(f"reduceSum {label}", "reduceSum", lambda x, d=axes: x.sum(d, keepdim=True), [normal(2, 3, 5, 3)], {"axes": axes})
    r.case(f"reduceMax {label}", "reduceMax", lambda x, d=axes: x.amax(d, keepdim=True), [apart(2, 3, 5, 3)], {"axes": axes})
r.case("reduceSum of integers", "reduceSum", lambda x: x.sum(1, keepdim=True, dtype=torch.int32), [indices([[1, 2, 3], [-4, 5, -6]])], {"axes": [1]}, gradient=False)
r.case("reduceMax of integers", "reduceMax", lambda x: x.amax(1, keepdim=True), [indices([[1, 2, 3], [-4, -5, -6]])], {"axes": [1]}, gradient=False)
r.case("reduceMax of ties", "reduceMax", lambda x: x.amax(1, keepdim=True), [torch.tensor([[1.0, 3.0, 3.0, 3.0], [-2.0, -2.0, -5.0, -2.0]])], {"axes": [1]}, smooth=False)
r.case("reduceMax of extremes", "reduceMax", lambda x: x.amax(1, keepdim=True), [torch.tensor([[-INF, -INF], [-INF, -1e38], [INF, 3.0]])], {"axes": [1]}, gradient=False)

# Products.
for ta in (False, True):
    for tb in (False, True):
        product = lambda a, b, ta=ta, tb=tb: (a.mT if ta else a) @ (b.mT if tb else b)
        flags = {"transposeA": ta, "transposeB": tb}
        label = f"{'A^T' if ta else 'A'} x {'B^T' if tb else 'B'}"
        for lead in ([], [2], [2, 3]):
            a = normal(*lead, *((7, 3) if ta else (3, 7)))
            b = normal(*lead, *((5, 7) if tb else (7, 5)))
            r.case(f"matmul {label} {lead}", "matmul", product, [a, b], flags)
r.case("matmul outer product", "matmul", torch.matmul, [normal(4, 1), normal(1, 3)], {"transposeA": False, "transposeB": False})
r.case("matmul square by itself", "matmul", torch.matmul, [(s := normal(3, 3)), s], {"transposeA": False, "transposeB": False})

CONVOLUTIONS = {
    # name: x, w, stride, padding (top, left, bottom, right)
    "1x1": ([2, 5, 3, 5], [4, 5, 1, 1], [1, 1], [0, 0, 0, 0]),
    "3x3 same": ([2, 3, 5, 7], [4, 3, 3, 3], [1, 1], [1, 1, 1, 1]),
    "3x3 valid": ([1, 2, 5, 4], [3, 2, 3, 3], [1, 1], [0, 0, 0, 0]),
    "3x3 stride 2": ([1, 2, 7, 6], [3, 2, 3, 3], [2, 2], [1, 1, 1, 1]),
    "3x3 stride 2 padded after": ([2, 2, 8, 5], [3, 2, 3, 3], [2, 2], [0, 0, 1, 1]),
    "1x1 stride 2": ([1, 3, 5, 5], [2, 3, 1, 1], [2, 2], [0, 0, 0, 0]),
    "5x2 stride 2,3": ([1, 2, 9, 11], [2, 2, 5, 2], [2, 3], [2, 0, 1, 1]),
    "padding wider than the kernel": ([1, 1, 2, 3], [2, 1, 2, 2], [1, 1], [3, 2, 0, 4]),
    "kernel as large as the input": ([2, 3, 4, 3], [2, 3, 4, 3], [1, 1], [0, 0, 0, 0]),
    "1 pixel": ([3, 2, 1, 1], [4, 2, 3, 3], [1, 1], [1, 1, 1, 1]),
    "stride over wide padding": ([1, 2, 5, 7], [3, 2, 3, 3], [2, 3], [3, 4, 1, 2]),
    "stride leaves a rest": ([1, 2, 6, 8], [3, 2, 3, 3], [3, 3], [0, 1, 0, 0]),
}


def convolve(x, w, stride, padding):
    top, left, bottom, right = padding
    return F.conv2d(F.pad(x, (left, right, top, bottom)), w, stride=stride)


for name, (xs, ws, stride, padding) in CONVOLUTIONS.items():
    conv = lambda x, w, s=stride, p=padding: convolve(x, w, s, p)
    attrs = {"stride": stride, "padding": padding}
    y = conv(torch.zeros(xs), torch.zeros(ws)).shape

    def grad_input(dy, w, xs=xs, conv=conv):
        x = torch.zeros(xs, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(conv(x, w), x, dy, create_graph=True)[0]

    def grad_weight(x, dy, ws=ws, conv=conv):
        w = torch.zeros(ws, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(conv(x, w), w, dy, create_graph=True)[0]

    r.case(f"conv2d {name}", "conv2d", conv, [normal(*xs), normal(*ws)], attrs)
    r.case(f"conv2dGradInput {name}", "conv2dGradInput", grad_input, [normal(*y), normal(*ws)], {**attrs, "size": xs[2:]})
    r.case(f"conv2dGradWeight {name}", "conv2dGradWeight", grad_weight, [normal(*xs), normal(*y)], {**attrs, "kernel": ws[2:]})

# Movement.
for shape in ([6, 5], [30], [1, 2, 3, 5], [5, 3, 2]):
    r.case(f"reshape to {shape}", "reshape", lambda x, s=shape: x.reshape(s), [normal(2, 3, 5)], {"shape": shape})
r.case("reshape to a scalar", "reshape", lambda x: x.reshape([]), [normal(1, 1)], {"shape": []})
for axes in ([1, 0, 2, 3], [0, 2, 3, 1], [3, 2, 1, 0], [0, 1, 2, 3], [2, 0, 3, 1]):
    r.case(f"permute {axes}", "permute", lambda x, a=axes: x.permute(a), [normal(2, 3, 5, 4)], {"axes": axes})
for source, shape in (([1, 3, 1], [2, 3, 5]), ([1, 1], [3, 4]), ([2, 1, 5], [2, 3, 5]), ([1], [7]), ([2, 3], [2, 3])):
    r.case(f"broadcast {source} to {shape}", "broadcast", lambda x, s=shape: x.expand(s), [normal(*source)], {"shape": shape})
for low, high in (([0, 0, 0], [0, 0, 2]), ([1, 0, 2], [0, 3, 1]), ([0, 0, 0], [0, 0, 0])):
    r.case(
        f"pad {low} {high}",
        "pad",
        lambda x, l=low, h=high: F.pad(x, [v for a in (2, 1, 0) for v in (l[a], h[a])]),
        [normal(2, 3, 2)],
        {"low": low, "high": high},
    )
for start, end in (([0, 1, 0], [2, 3, 5]), ([1, 2, 4], [2, 3, 5]), ([0, 0, 0], [2, 3, 5])):
    r.case(
        f"slice {start} {end}",
        "slice",
        lambda x, s=start, e=end: x[s[0] : e[0], s[1] : e[1], s[2] : e[2]],
        [normal(2, 3, 5)],
        {"start": start, "end": end},
    )
r.case("pad of integers", "pad", lambda x: F.pad(x, [1, 2]), [indices([1, 2])], {"low": [1], "high": [2]}, gradient=False)
r.case("permute of truth values", "permute", lambda x: x.permute(1, 0), [condition], {"axes": [1, 0]}, gradient=False)
r.case("slice of truth values", "slice", lambda x: x[:, 1:], [condition], {"start": [0, 1], "end": [2, 3]}, gradient=False)
r.case("broadcast of truth values", "broadcast", lambda x: x.expand(2, 3), [condition[:1]], {"shape": [2, 3]}, gradient=False)
r.case("reshape of integers", "reshape", lambda x: x.reshape(2, 3), [i], {"shape": [2, 3]}, gradient=False)
r.case("concat of two", "concat", lambda a, b: torch.cat([a, b], 1), [normal(2, 3, 2), normal(2, 1, 2)], {"axis": 1})
r.case("concat of three", "concat", lambda a, b, c: torch.cat([a, b, c], 0), [normal(2, 3), normal(1, 3), normal(4, 3)], {"axis": 0})
r.case("concat with itself", "concat", lambda a, b: torch.cat([a, b], 2), [(s := normal(2, 3, 2)), s], {"axis": 2})
r.case("concat of integers", "concat", lambda a, b: torch.cat([a, b], 0), [i, j], {"axis": 0}, gradient=False)

# Tables.
scalar_index = torch.tensor(2, dtype=torch.int32)
for label, at in (("repeated", [4, 0, 4, 4, 2]), ("of rank 2", [[1, 1, 0], [3, 4, 1]]), ("of one", [3])):
    t = indices(at)
    r.case(f"gather {label}", "gather", lambda x, k: x[k.long()], [normal(5, 2, 3), t])
    r.case(
        f"scatterAdd {label}",
        "scatterAdd",
        lambda u, k: torch.zeros(5, *u.shape[k.dim() :], dtype=torch.float64).index_put((k.long(),), u, accumulate=True),
        [normal(*t.shape, 2, 3), t],
        {"rows": 5},
    )
r.case("gather by a scalar", "gather", lambda x, k: x[k.long()], [normal(5, 3), scalar_index])
r.case("gather of numbers", "gather", lambda x, k: x[k.long()], [normal(5), indices([0, 0, 4])])
r.case("gather of integers", "gather", lambda x, k: x[k.long()], [indices([5, 6, 7]), indices([2, 0])], gradient=False)
r.case(
    "scatterAdd by a scalar",
    "scatterAdd",
    lambda u, k: torch.zeros(4, 3, dtype=torch.float64).index_put((k.long(),), u, accumulate=True),
    [normal(3), scalar_index],
    {"rows": 4},
)

# What only guides passes.
r.case("stopGradient", "stopGradient", lambda x: x.detach(), [normal(2, 3)], smooth=False)
r.case("barrier", "barrier", lambda x, ticket: x * 1, [normal(2, 3), normal(4)])
