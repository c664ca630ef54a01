"""Functions of kohya-ss/sd-scripts 48d368f, as they stand there. Used by make_kohya.py and tools/full/make_trajectories.py.

The files that hold them need programs which have nothing to do with these functions, so they are taken out of the files.
"""

import ast
import math
import random
import types
from pathlib import Path
from typing import Optional

import torch
from diffusers import DDPMScheduler

CUSTOM = {
    "prepare_scheduler_for_custom_training",
    "fix_noise_scheduler_betas_for_zero_terminal_snr",
    "apply_snr_weight",
    "apply_debiased_estimation",
    "pyramid_noise_like",
}
LOSSES = {"get_huber_threshold_if_needed", "conditional_loss"}


def kohya(checkout: str) -> types.SimpleNamespace:
    """All of them, by their names. `checkout` is the folder of the repository."""
    silent = types.SimpleNamespace(info=lambda *_: None)
    scope = {"torch": torch, "math": math, "random": random, "Optional": Optional, "DDPMScheduler": DDPMScheduler, "Number": float, "logger": silent}
    for path, names in {"library/custom_train_functions.py": CUSTOM, "library/train_util.py": LOSSES}.items():
        tree = ast.parse((Path(checkout) / path).read_text(encoding="utf8"))
        tree.body = [node for node in tree.body if getattr(node, "name", None) in names]
        exec(compile(tree, path, "exec"), scope)
    return types.SimpleNamespace(**{name: scope[name] for name in CUSTOM | LOSSES})
