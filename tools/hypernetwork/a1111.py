"""A1111's hypernetworks, run from its own source, on the networks of diffusers.

Used by make_fixtures.py and check_written.py, which name the versions. Nothing of that source (AGPL 3) is kept here: it is read from WEBUI.
What stands in: the web server's modules (options, devices, hashes: sha256 of the file, as there), and CompVis' attention, whose place a processor for diffusers' attention takes.
"""

import ast
import hashlib
import inspect
import os
import types
from pathlib import Path

import torch
import torch.nn.functional as F
import tqdm

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
BASE = FIXTURES / "goldens" / "tiny-sd"


def part_of(path, names, namespace):
    """Runs only these classes and functions of a file."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    tree.body = [node for node in tree.body if getattr(node, "name", None) in names]
    assert len(tree.body) == len(names), path
    exec(compile(tree, str(path), "exec"), namespace)
    return namespace


def load(webui, folder):
    """The classes and functions of hypernetwork.py, and LearnRateScheduler; new hypernetworks are written to `folder`."""
    sha256 = lambda filename, title: hashlib.sha256(Path(filename).read_bytes()).hexdigest()
    namespace = {
        "torch": torch,
        "os": os,
        "inspect": inspect,
        "hashes": types.SimpleNamespace(sha256=sha256),
        "devices": types.SimpleNamespace(device="cpu", torch_npu_set_device=lambda: None, cond_cast_unet=lambda x: x, cond_cast_float=lambda x: x),
        "shared": types.SimpleNamespace(
            opts=types.SimpleNamespace(print_hypernet_extra=False, save_optimizer_state=True),
            cmd_opts=types.SimpleNamespace(hypernetwork_dir=str(folder)),
            reload_hypernetworks=lambda: None,
        ),
    }
    namespace |= {name: getattr(torch.nn.init, name) for name in ("normal_", "xavier_normal_", "xavier_uniform_", "kaiming_normal_", "kaiming_uniform_", "zeros_")}
    names = ["HypernetworkModule", "parse_dropout_structure", "Hypernetwork", "apply_single_hypernetwork", "apply_hypernetworks", "create_hypernetwork"]
    part_of(webui / "modules" / "hypernetworks" / "hypernetwork.py", names, namespace)
    namespace["modules"] = types.SimpleNamespace(hypernetworks=types.SimpleNamespace(hypernetwork=types.SimpleNamespace(**{"Hypernetwork": namespace["Hypernetwork"]})))
    schedule = part_of(webui / "modules" / "textual_inversion" / "learn_schedule.py", ["LearnScheduleIterator", "LearnRateScheduler"], {"tqdm": tqdm})
    return types.SimpleNamespace(**namespace, LearnRateScheduler=schedule["LearnRateScheduler"])


class Attention:
    """CompVis' attention with A1111's hypernetworks, for diffusers' modules. `place.path` is the attention's name while it runs."""

    def __init__(self, a1111, hypernetworks, place, path):
        self.a1111, self.hypernetworks, self.place, self.path = a1111, hypernetworks, place, path

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        self.place.path = self.path
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        keys, values = self.a1111.apply_hypernetworks(self.hypernetworks, context)
        heads = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        q, k, v = heads(attn.to_q(hidden_states)), heads(attn.to_k(keys)), heads(attn.to_v(values))
        return attn.to_out[0](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def attach(a1111, unet, hypernetworks):
    """Puts the hypernetworks into every attention, cross and self. Gives the place that knows which one is running."""
    place = types.SimpleNamespace(path=None)
    unet.set_attn_processor({name: Attention(a1111, hypernetworks, place, f"unet.{name.removesuffix('.processor')}") for name in unet.attn_processors})
    return place


class Chance:
    """What dropout and RReLU draw, by `KIND.LAYER.PART`: numbers in [0, 1), of which dropout drops those below p and RReLU makes slopes of 1/8 to 1/3. Recorded from what
    PyTorch does, or given back to it."""

    def __init__(self, hypernetwork, place, recorded=None):
        self.drawn, self.recorded = {}, recorded
        for pair in hypernetwork.layers.values():
            for module, projection in zip(pair, ("to_k", "to_v")):
                for i, part in enumerate(module.linear):
                    kind = {torch.nn.Dropout: "dropout", torch.nn.RReLU: "rrelu"}.get(type(part))
                    if kind:
                        part.register_forward_hook(self.hook(kind, projection, i, place))

    def hook(self, kind, projection, i, place):
        def run(part, inputs, output):
            name = f"{kind}.{place.path}.{projection}.{i}"
            [x] = inputs
            if self.recorded is not None:
                u = self.recorded[name].to(x.dtype)
                return torch.where(u < part.p, 0, x / (1 - part.p)) if kind == "dropout" else torch.where(x > 0, x, x * (1 / 8 + u * (1 / 3 - 1 / 8)))
            if kind == "dropout":
                self.drawn[name] = torch.where((output == 0) & (x != 0), 0.0, 0.875)
            else:
                slope = torch.where(x < 0, output / torch.where(x < 0, x, 1), 0.2)
                self.drawn[name] = ((slope - 1 / 8) / (1 / 3 - 1 / 8)).clamp(0, 0.999999)
            self.drawn[name] = self.drawn[name].detach()

        return run
