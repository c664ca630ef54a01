"""Collects cases - inputs, results, gradients - and writes them as one safetensors file.

Everything is computed in float64 from inputs that are float32, and rounded to float32 at the end. A case's gradient is that of sum(result * cotangent)
over its results, with respect to each float input. The file's metadata holds the list of cases as JSON under "cases":
    name        unique
    op          what the test looks up
    options     attributes of the primitive, or options of the function
    inputs      per input "f32", "i32" or "bool"; the tensors are I.in.K
    outputs     how many results; the tensors are I.out.K, their cotangents I.cotangent.K
    gradient    whether I.grad.K (of f32 inputs only) exist
    amplification  how many times the rounding of an intermediate result grows on its way to the result; 1 where nothing cancels
    smooth      whether the function is differentiable at and around the inputs, so that finite differences mean something
"""

import json

import numpy as np
import torch
from safetensors.torch import save_file

DTYPES = {torch.float32: "f32", torch.int32: "i32", torch.bool: "bool"}
torch.manual_seed(20240607)


def stored(t):
    if t.dtype == torch.float64:
        t = t.to(torch.float32)
    return t.to(torch.uint8).contiguous() if t.dtype == torch.bool else t.contiguous().clone()


class Recorder:
    def __init__(self):
        self.cases = []
        self.tensors = {}

    def case(self, name, op, function, inputs, options=None, gradient=True, smooth=True, amplification=1):
        """`inputs`: tensors, f32 (given as float64 or float32), i32 or bool. `function`: of the inputs as float64, one tensor or a list."""
        assert all(c["name"] != name for c in self.cases), name
        index = len(self.cases)
        inputs = [t.to(torch.float32) if t.is_floating_point() else t for t in inputs]
        doubles = [t.double().requires_grad_(gradient) if t.is_floating_point() else t for t in inputs]
        outputs = function(*doubles)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        for k, t in enumerate(inputs):
            self.tensors[f"{index}.in.{k}"] = stored(t)
        for k, t in enumerate(outputs):
            self.tensors[f"{index}.out.{k}"] = stored(t.detach())
        if gradient:
            cotangents = [torch.randn(t.shape).double() for t in outputs]
            total = sum((t * c).sum() for t, c in zip(outputs, cotangents))
            leaves = [t for t in doubles if t.is_floating_point()]
            grads = iter(torch.autograd.grad(total, leaves, allow_unused=True)) if total.requires_grad else iter([None] * len(leaves))
            for k, c in enumerate(cotangents):
                self.tensors[f"{index}.cotangent.{k}"] = stored(c)
            for k, t in enumerate(doubles):
                if t.is_floating_point():
                    g = next(grads)
                    self.tensors[f"{index}.grad.{k}"] = stored(torch.zeros_like(t) if g is None else g)
        self.cases.append(
            {
                "name": name,
                "op": op,
                "options": options or {},
                "inputs": [DTYPES[t.dtype] for t in inputs],
                "outputs": len(outputs),
                "gradient": gradient,
                "smooth": gradient and smooth,
                "amplification": amplification,
            }
        )

    def write(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(self.tensors, path, metadata={"cases": json.dumps(self.cases)})
        print(path.name, len(self.cases), "cases", path.stat().st_size, "bytes")


def normal(*shape):
    return torch.randn(shape)


def positive(*shape):
    return torch.rand(shape) * 2 + 0.25


def apart(*shape):
    """Numbers no two of which are near one another or near 0, in random order."""
    n = int(np.prod(shape))
    values = (torch.arange(n) - n / 2 + 0.25) * 0.5
    return values[torch.randperm(n)].reshape(shape)


def indices(values):
    return torch.tensor(values, dtype=torch.int32)
