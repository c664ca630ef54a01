"""A1111's own hypernetwork trainer on a folder in diffusers' layout, for the learning benchmark (benchmarks/learning).

    python tools/learning/a1111_hypernetwork.py --webui WEBUI --base DIR --images DIR --template FILE --sizes "128, 160" --structure "1, 2, 1"
        --activation linear --weight-init Normal --lr 1e-3 --batch 5 --steps 100 --resolution 64 --seed 0 --out FILE.pt

WEBUI: AUTOMATIC1111/stable-diffusion-webui v1.10.1, 82a973c04367123ae98bd9abdf80d9eda9b910e2 (AGPL 3; nothing of it is kept here).
Used with Python 3.11, torch 2.15.0, diffusers 0.42.1, transformers 5.23.0, einops. Without network.

What runs as it is: create_hypernetwork, train_hypernetwork, the modules, apply_hypernetworks, LearnRateScheduler, PersonalizedBase and its loader, the prompts, the file written.
What stands in is what tools/replay/make_a1111.py and tools/hypernetwork/a1111.py say: the web server's modules, CompVis' LatentDiffusion, and its attention. Progress is
that of the trainer, on stderr.
"""

import argparse
import random
import sys
import tempfile
import types
from pathlib import Path

import torch

TOOLS = Path(__file__).resolve().parents[1]
threads = torch.get_num_threads()
sys.path[:0] = [str(TOOLS / "replay"), str(TOOLS / "hypernetwork")]

import make_a1111  # sets one thread
from a1111 import attach

torch.set_num_threads(threads)

parser = argparse.ArgumentParser()
for name in ("webui", "base", "images", "template", "sizes", "structure", "activation", "weight-init", "lr", "out"):
    parser.add_argument(f"--{name}", required=True)
for name in ("batch", "steps", "resolution", "seed"):
    parser.add_argument(f"--{name}", type=int, required=True)


class Unrecorded:
    """What tools/replay notes of a run, forgotten."""

    losses = types.SimpleNamespace(append=lambda loss: None)

    def add(self, **tensors):
        pass


def main(args):
    work = Path(tempfile.mkdtemp())
    template = Path(args.template)
    out = Path(args.out).resolve()
    make_a1111.webui(Path(args.webui), Path(args.base), Unrecorded(), {"clip_skip": 1}, work)
    shared = sys.modules["modules.shared"]
    for name in ("print_hypernet_extra", "save_optimizer_state"):
        setattr(shared.opts, name, False)
    shared.cmd_opts.hypernetwork_dir = str(out.parent)
    shared.reload_hypernetworks = lambda: None
    shared.hypernetworks = {out.stem: str(out)}
    make_a1111.module("ldm.util", default=None)
    sys.modules["modules.devices"].cond_cast_float = lambda x: x
    from modules.hypernetworks import hypernetwork as trainer

    trainer.textual_inversion.textual_inversion_templates = {template.name: types.SimpleNamespace(path=str(template))}

    random.seed(args.seed)
    torch.manual_seed(args.seed)
    trainer.create_hypernetwork(out.stem, args.sizes.split(","), True, args.structure, args.activation, args.weight_init)

    # The trainer puts the hypernetwork that it trains into this list before its first step.
    class Loaded:
        def __iter__(self):
            return iter(shared.loaded_hypernetworks)

    attach(trainer, shared.sd_model.unet, Loaded())
    trainer.train_hypernetwork(
        "task",
        out.stem,
        args.lr,
        args.batch,
        1,
        str(Path(args.images).resolve()),
        str(work / "log"),
        args.resolution,
        args.resolution,
        False,
        args.steps,
        "disabled",
        "0.1",
        False,
        0,
        "once",
        False,
        0,
        0,
        template.name,
        False,
        *("", "", 20, "Euler", 7, -1, args.resolution, args.resolution),
    )


main(parser.parse_args())
