"""Writes fixtures/optim/*.json: optimizers as PyTorch and their own packages have them, schedules as diffusers and A1111 have them, for packages/optim/test.

    python tools/optim/make_fixtures.py [STABLE_DIFFUSION_WEBUI]

STABLE_DIFFUSION_WEBUI is a checkout of AUTOMATIC1111/stable-diffusion-webui (or a fork with the same learn_schedule.py); its own module is run. Without it that fixture is left
as it is.
Made with Python 3.11, torch 2.15.0, diffusers 0.42.1, transformers 5.23.0, lion-pytorch 0.2.5, prodigyopt 1.1.2, bitsandbytes 0.50.2, and modules/textual_inversion/learn_schedule.py of v1.10.1
(sha256 in the result).
"""

import base64
import hashlib
import importlib.util
import json
import sys
import types
from pathlib import Path

import torch
from diffusers.optimization import get_scheduler
from lion_pytorch import Lion
from prodigyopt import Prodigy
from transformers.optimization import Adafactor

OUT = Path(__file__).resolve().parents[2] / "fixtures" / "optim"
STEPS = 6

OPTIMIZERS = {
    "adamw": (torch.optim.AdamW, dict(lr=2e-3), None),
    "adamw_settings": (torch.optim.AdamW, dict(lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.3), None),
    "adamw_no_decay": (torch.optim.AdamW, dict(lr=5e-3, weight_decay=0.0), None),
    "adamw_clip_norm": (torch.optim.AdamW, dict(lr=5e-3), ("norm", 0.7)),
    "sgd": (torch.optim.SGD, dict(lr=0.1), None),
    "sgd_momentum": (torch.optim.SGD, dict(lr=0.1, momentum=0.9), None),
    "sgd_nesterov": (torch.optim.SGD, dict(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.05), None),
    "sgd_clip_norm": (torch.optim.SGD, dict(lr=0.1), ("norm", 0.7)),
    "sgd_clip_norm_loose": (torch.optim.SGD, dict(lr=0.1), ("norm", 1000.0)),
    "sgd_clip_value": (torch.optim.SGD, dict(lr=0.1, momentum=0.9), ("value", 0.25)),
}  # fmt: skip

SCHEDULES = {
    "constant": dict(name="constant"),
    "constant_warmup": dict(name="constant_with_warmup", num_warmup_steps=4),
    "linear": dict(name="linear", num_training_steps=12),
    "linear_warmup": dict(name="linear", num_warmup_steps=3, num_training_steps=12),
    "cosine": dict(name="cosine", num_training_steps=12),
    "cosine_warmup": dict(name="cosine", num_warmup_steps=5, num_training_steps=12),
    "restarts": dict(name="cosine_with_restarts", num_training_steps=12, num_cycles=3),
    "restarts_warmup": dict(name="cosine_with_restarts", num_warmup_steps=2, num_training_steps=12),
    "polynomial": dict(name="polynomial", num_training_steps=12),
    "polynomial_warmup": dict(name="polynomial", num_warmup_steps=2, num_training_steps=12, power=2.5),
}  # fmt: skip

RATES = [
    ("0.005:3, 0.001", 8),
    ("5e-3:100, 1e-3:1000, 1e-5", 20),
    ("0.1:5,0.2:3,0.3", 12),
    ("0.1:5,0.2:3,0.3:4", 12),
    ("0.005:4:2", 6),
    ("1e-3:2, 5e-4:-1, 9:9", 7),
    ("1e-3:2, 5e-4:5", 9),
    (" 2e-4 ", 4),
    ("0.01:-5, 0.02:0, 0.03:2, 0.04", 5),
    (",0.01:2,,0.02:4,", 6),
]


def numbers(tensor) -> list[float]:
    return [float(v) for v in tensor.flatten().tolist()]


def optimizers() -> dict:
    generator = torch.Generator().manual_seed(7)
    shapes = {"a": [3, 4], "b": [5]}
    start = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    gradients = [
        {name: torch.randn(shape, generator=generator) * 10.0 ** (-step % 3) for name, shape in shapes.items()}
        for step in range(STEPS)
    ]
    rates = [1.0, 1.0, 0.5, 0.25, 2.0, 1.0]
    cases = {}
    for name, (make, settings, clip) in OPTIMIZERS.items():
        parameters = {key: value.clone().requires_grad_() for key, value in start.items()}
        optimizer = make(parameters.values(), **settings)
        steps = []
        for step in range(STEPS):
            for key, parameter in parameters.items():
                parameter.grad = gradients[step][key].clone()
            norm = None
            if clip and clip[0] == "norm":
                norm = float(torch.nn.utils.clip_grad_norm_(parameters.values(), clip[1]))
            elif clip:
                torch.nn.utils.clip_grad_value_(parameters.values(), clip[1])
            optimizer.param_groups[0]["lr"] = settings["lr"] * rates[step]
            optimizer.step()
            steps.append({"norm": norm, **{key: numbers(p.detach()) for key, p in parameters.items()}})
        cases[name] = {"settings": settings, "clip": clip, "steps": steps}
    return {
        "what": "torch.optim of PyTorch 2.15.0 on the CPU; the learning rate of each step is settings.lr times rates",
        "shapes": shapes,
        "start": {key: numbers(value) for key, value in start.items()},
        "gradients": [{key: numbers(value) for key, value in step.items()} for step in gradients],
        "rates": rates,
        "cases": cases,
    }


# Odd shapes: a scalar, a vector, a matrix, a kernel, a row, a column, and one whose gradient is always zero.
SHAPES = {"scalar": [], "vector": [5], "matrix": [3, 7], "kernel": [4, 3, 3, 2], "row": [1, 6], "column": [6, 1], "silent": [2, 3]}
TRAJECTORY = 40
SNAPSHOTS = [1, 2, 3, 5, 10, 20, 30, 40]
WARM = [min(1.0, step / 8) for step in range(TRAJECTORY)]
LEVEL = [1.0] * TRAJECTORY

# name: (class, settings, rates that multiply the learning rate, steps from the first whose gradients are all zero)
TRAJECTORIES = {
    "lion": (Lion, dict(lr=1e-2), LEVEL, 0),
    "lion_settings": (Lion, dict(lr=3e-2, betas=(0.95, 0.98), weight_decay=0.4), WARM, 0),
    "adafactor_relative": (Adafactor, dict(lr=None), LEVEL, 0),
    "adafactor_relative_warmup": (Adafactor, dict(lr=None, warmup_init=True), LEVEL, 0),
    "adafactor_rate": (Adafactor, dict(lr=2e-2, relative_step=False, scale_parameter=False), WARM, 0),
    "adafactor_scaled": (Adafactor, dict(lr=3e-2, relative_step=False, weight_decay=0.2), LEVEL, 2),
    "adafactor_settings": (Adafactor, dict(lr=3e-2, relative_step=False, scale_parameter=False, beta1=0.85, clip_threshold=0.6, decay_rate=-0.6,
                                           eps=(1e-12, 1e-2), weight_decay=0.1), LEVEL, 0),
    "prodigy": (Prodigy, dict(lr=1.0, d0=1e-4), LEVEL, 0),
    "prodigy_diffusers": (Prodigy, dict(lr=1.0, d0=1e-4, d_coef=8.0, weight_decay=0.1, use_bias_correction=True, safeguard_warmup=True), WARM, 0),
    "prodigy_warmup": (Prodigy, dict(lr=0.5, d0=1e-4, betas=(0.8, 0.95)), WARM, 3),
    "prodigy_growth": (Prodigy, dict(lr=1.0, d0=1e-4, growth_rate=1.3, d_coef=2.0, beta3=0.9, eps=1e-6), LEVEL, 2),
    "prodigy_coupled": (Prodigy, dict(lr=1.0, d0=1e-3, decouple=False, weight_decay=0.3, use_bias_correction=True), LEVEL, 0),
    "prodigy_without_mean": (Prodigy, dict(lr=1.0, d0=1e-3, betas=(0.0, 0.99), decouple=False, weight_decay=0.1), LEVEL, 0),
}  # fmt: skip


def packed(tensor) -> str:
    """Little-endian f32, base64."""
    return base64.b64encode(tensor.detach().to(torch.float32).contiguous().numpy().tobytes()).decode()


def trajectories() -> dict:
    generator = torch.Generator().manual_seed(11)
    random = lambda shape: torch.randn(shape, generator=generator)
    start = {name: random(shape) for name, shape in SHAPES.items()}
    # A direction of its own for every number, so that the way from the start is no random walk; then back, so that step sizes stop growing.
    course = {name: random(shape) for name, shape in SHAPES.items()}
    gradients = [
        {name: torch.zeros(shape) if name == "silent" else (course[name] * (1 if step < 14 else -0.4) + 0.8 * random(shape)) * (1.0, 0.1, 3.0)[step % 3] for name, shape in SHAPES.items()}
        for step in range(TRAJECTORY)
    ]
    cases = {}
    for name, (make, settings, rates, idle) in TRAJECTORIES.items():
        parameters = {key: value.double().requires_grad_() for key, value in start.items()}
        optimizer = make(list(parameters.values()), **settings)
        snapshots, found = {}, []
        for step in range(TRAJECTORY):
            for key, parameter in parameters.items():
                parameter.grad = gradients[step][key].double() * (0.0 if step < idle else 1.0)
            if settings["lr"] is not None:
                optimizer.param_groups[0]["lr"] = settings["lr"] * rates[step]
            optimizer.step()
            if "d" in optimizer.param_groups[0]:
                found.append(optimizer.param_groups[0]["d"])
            if step + 1 in SNAPSHOTS:
                snapshots[step + 1] = {key: packed(p) for key, p in parameters.items()}
        cases[name] = {"settings": settings, "rates": rates, "idle": idle, "snapshots": snapshots, **({"d": found} if found else {})}
    return {
        "what": "lion-pytorch 0.2.5, transformers 5.23.0, prodigyopt 1.1.2 on the CPU, in float64; the rate of step i is settings.lr times rates[i]; the gradients of the first `idle` steps are 0",
        "steps": TRAJECTORY,
        "shapes": SHAPES,
        "start": {key: packed(value) for key, value in start.items()},
        "gradients": [{key: packed(value) for key, value in step.items()} for step in gradients],
        "cases": cases,
    }


EIGHT_BIT = dict(lr=1e-2, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1, min_8bit_size=16)
EIGHT_BIT_SHAPES = {"long": [19, 31], "kernel": [4, 3, 3, 2], "block": [256], "small": [15], "silent": [5, 4]}


def nearest_codes(values, code, blocksize):
    """bitsandbytes' own generic path, which rounds to nearest and which its CPU op takes for types other than 16 and 32 bit floats; its 32 bit kernel is coarse near 0."""
    return torch.ops.bitsandbytes.quantize_blockwise(values.double(), code, blocksize)


def eight_bit() -> dict:
    from bitsandbytes.backends.cpu import ops
    from bitsandbytes.functional import create_dynamic_map
    from bitsandbytes.optim import AdamW8bit

    def quantize(values, code, absmax, out, blocksize):
        codes, largest = nearest_codes(values, code, blocksize)
        out.copy_(codes)
        absmax.copy_(largest)

    ops._quant_blockwise_fp32_direct = quantize
    generator = torch.Generator().manual_seed(13)
    random = lambda shape: torch.randn(shape, generator=generator)
    maps = {"signed": create_dynamic_map(True), "unsigned": create_dynamic_map(False)}
    encoded = {}
    for name, code in maps.items():
        scales = 10.0 ** torch.linspace(-8, 0, 512)
        values = random([512]) * scales
        values[[511, 255]] = 4.0
        if name == "unsigned":
            values = values.abs()
        codes, largest = nearest_codes(values, code, 512)
        encoded[name] = {"map": packed(code), "values": packed(values), "largest": float(largest), "codes": codes.tolist()}
    start = {name: random(shape) for name, shape in EIGHT_BIT_SHAPES.items()}
    sizes = {name: 10.0 ** (-5 * torch.rand(shape, generator=generator)) for name, shape in EIGHT_BIT_SHAPES.items()}
    gradients = [
        {name: torch.zeros(shape) if name == "silent" else random(shape) * sizes[name] for name, shape in EIGHT_BIT_SHAPES.items()}
        for _ in range(TRAJECTORY)
    ]
    parameters = {key: value.clone().requires_grad_() for key, value in start.items()}
    optimizer = AdamW8bit(list(parameters.values()), **EIGHT_BIT)
    steps = []
    for step in range(TRAJECTORY):
        for key, parameter in parameters.items():
            parameter.grad = gradients[step][key].clone()
        optimizer.step()
        if step + 1 not in SNAPSHOTS:
            continue
        states = {key: optimizer.state[p] for key, p in parameters.items()}
        steps.append({
            "step": step + 1,
            "parameters": {key: packed(p) for key, p in parameters.items()},
            "codes": {f"{kind}.{key}": base64.b64encode(state[of].numpy().tobytes()).decode()
                      for key, state in states.items() for kind, of in (("m", "state1"), ("v", "state2")) if state[of].dtype == torch.uint8},
            "scales": {f"{kind}Scale.{key}": packed(state[of])
                       for key, state in states.items() for kind, of in (("m", "absmax1"), ("v", "absmax2")) if of in state},
        })
    return {
        "what": "AdamW8bit of bitsandbytes 0.50.2 on the CPU, f32, codes by its generic path",
        "settings": EIGHT_BIT,
        "shapes": EIGHT_BIT_SHAPES,
        "encoded": encoded,
        "start": {key: packed(value) for key, value in start.items()},
        "gradients": [{key: packed(value) for key, value in step.items()} for step in gradients],
        "steps": steps,
    }  # fmt: skip


def schedules() -> dict:
    cases = {}
    for name, settings in SCHEDULES.items():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3e-3)
        scheduler = get_scheduler(optimizer=optimizer, **{"num_warmup_steps": 0, **settings})
        rates = []
        # Two steps past the end: what goes on there is defined too.
        for _ in range(15):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        cases[name] = {"settings": settings, "rates": rates}
    return {"what": "get_scheduler of diffusers 0.42.1 over a rate of 3e-3", "lr": 3e-3, "cases": cases}


def learn_schedule(webui: Path) -> dict:
    path = webui / "modules/textual_inversion/learn_schedule.py"
    sys.modules.setdefault("tqdm", types.ModuleType("tqdm"))
    spec = importlib.util.spec_from_file_location("learn_schedule", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cases = []
    for text, steps in RATES:
        scheduler = module.LearnRateScheduler(text, steps, verbose=False)
        optimizer = types.SimpleNamespace(param_groups=[{}])
        rates = []
        # The loop of train_embedding: the scheduler is asked before each step, and ends training.
        for step in range(steps + 1):
            scheduler.apply(optimizer, step)
            if scheduler.finished:
                break
            rates.append(scheduler.learn_rate)
        cases.append({"text": text, "steps": steps, "rates": rates})
    return {
        "what": "LearnRateScheduler of AUTOMATIC1111/stable-diffusion-webui, asked as train_embedding asks it",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "cases": cases,
    }


def write(name: str, content: dict) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / name).write_text(json.dumps(content, separators=(",", ":")) + "\n")


def main() -> None:
    write("optimizers.json", optimizers())
    write("trajectories.json", trajectories())
    write("eight_bit.json", eight_bit())
    write("schedules.json", schedules())
    if len(sys.argv) > 1:
        write("learn_schedule.json", learn_schedule(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
