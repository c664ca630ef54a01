"""Writes fixtures/full: runs of full fine-tuning with every option of the loss, the noise, the averages and the optimizer, for packages/methods/test/full.

    PYTHONPATH=tools/objectives python tools/full/make_trajectories.py SD-SCRIPTS [CASE ...]

SD-SCRIPTS is a checkout of kohya-ss/sd-scripts 48d368f. Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.0.

The loop is that of diffusers' examples/text_to_image/train_text_to_image.py (58eb52c): UNet2DConditionModel, CLIPTextModel, DDPMScheduler, compute_snr, EMAModel and
compute_dream_and_update_latents are diffusers' and transformers', AdamW, clipping and the gradients torch's, the pyramid noise, Huber losses and debiased weights kohya's.
Each run is repeated in float64 from the same numbers: noise.json says how far rounding leads away.

All cases of a base have the draws of one record, which holds more than each needs. Of every trained tensor the first numbers and the norm of its movement are kept.
"""

import json
import math
import os
import random
import sys
import types
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel, compute_dream_and_update_latents, compute_snr
from kohya_functions import kohya
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging

logging.disable_progress_bar()

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
OUT = FIXTURES / "full"
BASES = {"tiny-sd": FIXTURES / "goldens" / "tiny-sd", "sd2-base": FIXTURES / "replay" / "sd2-base"}
KOHYA = kohya(sys.argv[1])
STEPS, BATCH, ITERATIONS, FIRST = 6, 2, 3, 4
CAPTIONS = ["a man in the time of art", "the old house by the sea", "", "one more of these"]


class Case:
    """Settings of a run; the names are those of sdft's recipes."""

    def __init__(self, name, base="sd2-base", prediction="epsilon", steps=5, lr=5e-4, **settings):
        self.name, self.base, self.prediction, self.steps, self.lr, self.settings = name, base, prediction, steps, lr, settings


CASES = [
    Case("plain", clip=1.0),
    Case("ema", base="tiny-sd", ema={}, steps=4),
    Case("ema-warmup", ema={"decay": 0.6, "minDecay": 0.3, "updateAfterStep": 1, "useEmaWarmup": True, "invGamma": 2.0, "power": 0.75}),
    Case("snr", snrGamma=5.0),
    Case("snr-v", prediction="v", snrGamma=5.0),
    Case("snr-v-plus-1", prediction="v", snrGamma=5.0, snrWeightForV="plus-1"),
    Case("debiased", debiasedEstimation=True),
    Case("debiased-v", prediction="v", debiasedEstimation=True),
    Case("zero-terminal-snr", prediction="v", zeroTerminalSnr=True),
    Case("zero-terminal-snr-weighed", prediction="v", zeroTerminalSnr=True, snrGamma=5.0, lossType="huber"),
    Case("offset", noiseOffset=0.1),
    Case("pyramid", multiresNoiseIterations=ITERATIONS, multiresNoiseDiscount=0.3),
    Case("perturbation", inputPerturbation=0.1, noiseOffset=0.05),
    Case("smooth-l1", lossType="smooth-l1", huberSchedule="exponential"),
    Case("dream", dreamTraining=True),
    Case("text-encoder", trainTextEncoder=True, textEncoderLr=1e-4, clip=1.0),
    Case("text-encoder-tiny-sd", base="tiny-sd", trainTextEncoder=True, textEncoderLr=1e-4, clip=1.0, steps=3),
    Case("accumulate", accumulate=2, clip=0.5, steps=3, schedule={"name": "cosine", "warmup": 1}, ema={"decay": 0.9}),
    Case("blocks", lrs={"unet.down_blocks.**": 1e-4, "unet.mid_block.**": 0}),
]


def draws(base):
    """The numbers of every micro-step, float32."""
    generator = torch.Generator().manual_seed(list(BASES).index(base))
    randn = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    tokenizer = CLIPTokenizer.from_pretrained(BASES[base] / "tokenizer")
    steps = []
    for k in range(STEPS):
        captions = [CAPTIONS[(BATCH * k + i) % len(CAPTIONS)] for i in range(BATCH)]
        ids = tokenizer(captions, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids
        step = {
            "latents": 0.9 * randn(BATCH, 4, 8, 8),
            "noise": randn(BATCH, 4, 8, 8),
            "offset_noise": randn(BATCH, 4, 1, 1),
            "perturbation": randn(BATCH, 4, 8, 8),
            "multires_scale": torch.rand(ITERATIONS, generator=generator),
            **{f"multires_noise.{i}": randn(BATCH, 4, 8, 8) for i in range(ITERATIONS)},
            # The last timestep is among them: with zero terminal SNR it has none.
            "timesteps": torch.cat([torch.tensor([999] if k == 1 else []).long(), torch.randint(0, 1000, (BATCH - (k == 1),), generator=generator)]),
            "input_ids": ids,
        }
        if base == "tiny-sd":
            step = {name: value for name, value in step.items() if name in ("latents", "noise", "timesteps", "input_ids")}
        steps.append(step)
    return steps


def pyramid(noise, step, iterations, discount):
    """kohya's pyramid noise, from the numbers of the record."""
    left = list(range(iterations))
    scales = iter(step["multires_scale"].tolist())

    def recorded_randn(*shape):
        return step[f"multires_noise.{left.pop(0)}"][:, :, : shape[2], : shape[3]]

    randn, uniform = torch.randn, random.random
    torch.randn, random.random = recorded_randn, lambda: next(scales)
    try:
        return KOHYA.pyramid_noise_like(noise.clone(), "cpu", iterations, discount)
    finally:
        torch.randn, random.random = randn, uniform


def train(case, steps, dtype):
    s = types.SimpleNamespace(**case.settings)
    get = case.settings.get
    folder = BASES[case.base]
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").to(dtype)
    text = CLIPTextModel.from_pretrained(folder / "text_encoder").to(dtype)
    prediction = {"v": "v_prediction", "epsilon": "epsilon"}[case.prediction]
    scheduler = DDPMScheduler.from_pretrained(folder / "scheduler", prediction_type=prediction, rescale_betas_zero_snr=get("zeroTerminalSnr", False))
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(dtype)
    KOHYA.prepare_scheduler_for_custom_training(scheduler, "cpu")
    named = {f"unet.{name}": p for name, p in unet.named_parameters()}
    if get("trainTextEncoder"):
        prefix = "" if any(name.startswith("text_model.") for name, _ in text.named_parameters()) else "text_model."
        named |= {f"text_encoder.{prefix}{name}": p for name, p in text.named_parameters()}
    else:
        text.requires_grad_(False)

    def rate(name):
        found = get("textEncoderLr", case.lr) if name.startswith("text_encoder.") else case.lr
        for glob, value in get("lrs", {}).items():
            if name.startswith(glob.removesuffix("**")):
                found = value
        return found

    first = {name: p.detach().clone() for name, p in named.items()}
    everything = dict(named)
    for name in [name for name in named if rate(name) == 0]:
        named.pop(name).requires_grad_(False)
    parameters = list(named.values())
    groups = [{"params": [p for name, p in named.items() if rate(name) == lr], "lr": lr} for lr in sorted({rate(name) for name in named})]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    accumulate = get("accumulate", 1)
    schedule = get("schedule", {"name": "constant"})
    rates = get_scheduler(schedule["name"], optimizer, num_warmup_steps=schedule.get("warmup", 0), num_training_steps=case.steps)
    average = None
    if get("ema") is not None:
        names = {"minDecay": "min_decay", "updateAfterStep": "update_after_step", "useEmaWarmup": "use_ema_warmup", "invGamma": "inv_gamma"}
        average = EMAModel(parameters, **{names.get(name, name): value for name, value in s.ema.items()})
    losses, norms, used = [], [], []
    for k in range(case.steps * accumulate):
        step = {name: value.to(dtype) if value.is_floating_point() else value for name, value in steps[k].items()}
        loss = loss_of(case, step, unet, text, scheduler)
        losses.append(loss.item())
        (loss / accumulate).backward()
        if (k + 1) % accumulate:
            continue
        norm = torch.nn.utils.clip_grad_norm_(parameters, get("clip", math.inf))
        norms.append(norm.item())
        # The rate of the first layer.
        used.append(next(group["lr"] for group in optimizer.param_groups if any(p is parameters[0] for p in group["params"])))
        optimizer.step()
        rates.step()
        optimizer.zero_grad(set_to_none=False)
        if average:
            average.step(parameters)
    values = {"trained": {name: p.detach() for name, p in everything.items()}}
    if average:
        values["ema"] = dict(zip(named, average.shadow_params, strict=True))
    return {"losses": losses, "norms": norms, "lr": used, "first": first, "values": values}


def loss_of(case, step, unet, text, scheduler):
    get = case.settings.get
    v = case.prediction == "v"
    latents, noise, t = step["latents"], step["noise"], step["timesteps"]
    if get("noiseOffset"):
        noise = noise + get("noiseOffset") * step["offset_noise"]
    if get("multiresNoiseIterations"):
        noise = pyramid(noise, step, get("multiresNoiseIterations"), get("multiresNoiseDiscount"))
    added = noise + get("inputPerturbation") * step["perturbation"] if get("inputPerturbation") else noise
    noisy = scheduler.add_noise(latents, added, t)
    context = text(step["input_ids"], return_dict=False)[0]
    target = scheduler.get_velocity(latents, noise, t) if v else noise
    if get("dreamTraining"):
        noisy, target = compute_dream_and_update_latents(unet, scheduler, t, noise, noisy, target, context, 1.0)
    predicted = unet(noisy, t, context, return_dict=False)[0]
    if get("lossType"):
        args = types.SimpleNamespace(
            loss_type=get("lossType").replace("-", "_"), huber_schedule=get("huberSchedule", "snr"), huber_c=0.1, huber_scale=1.0
        )
        loss = KOHYA.conditional_loss(predicted, target, args.loss_type, "none", KOHYA.get_huber_threshold_if_needed(args, t, scheduler))
    else:
        loss = F.mse_loss(predicted, target, reduction="none")
    loss = loss.mean(dim=[1, 2, 3])
    if get("snrGamma"):
        snr = compute_snr(scheduler, t)
        weights = torch.stack([snr, get("snrGamma") * torch.ones_like(snr)], dim=1).min(dim=1)[0]
        if not v:
            weights = weights / snr
        elif get("snrWeightForV") == "plus-1":
            # examples/advanced_diffusion_training
            weights = weights / snr + 1
        else:
            weights = weights / (snr + 1)
        loss = loss * weights
    if get("debiasedEstimation"):
        loss = KOHYA.apply_debiased_estimation(loss, t, scheduler, v)
    return loss.mean()


def summary(first, last):
    """Of each tensor, in the order of names.json: the norm of its movement, and its first numbers; padded with zeros."""
    rows = []
    for name, value in last.items():
        start = value.flatten()[:FIRST]
        rows.append(F.pad(torch.cat([(value.double() - first[name].double()).norm().reshape(1), start.double()]), (0, FIRST - len(start))))
    return torch.stack(rows)


def compare(name, run, exact):
    """How far float32 and float64 are apart, and which tensors have a gradient that is zero in exact arithmetic."""
    report, odd = {}, set()
    for kind, values in run["values"].items():
        errors = updates = worst = 0.0
        for tensor, value in values.items():
            e = (value.double() - exact["values"][kind][tensor]).square().sum().item()
            u = (exact["values"][kind][tensor] - exact["first"][tensor]).square().sum().item()
            ratio = math.sqrt(e / u) if u else 0.0
            if ratio > 0.02:
                odd.add(tensor)
                continue
            errors, updates, worst = errors + e, updates + u, max(worst, ratio)
        report[kind] = {"relative_error_of_update": math.sqrt(errors / updates), "worst_tensor": worst}
    loss = max(abs(a - b) / abs(b) for a, b in zip(run["losses"], exact["losses"], strict=True))
    norm = max(abs(a - b) / b for a, b in zip(run["norms"], exact["norms"], strict=True))
    error = max(part["relative_error_of_update"] for part in report.values())
    print(f"{name}: update {error:.1e}, worst {max(p['worst_tensor'] for p in report.values()):.1e}, loss {loss:.1e}, norm {norm:.1e}, {len(odd)} ill-conditioned of {len(run['first'])}", flush=True)
    return {
        **report,
        "loss_relative": loss,
        "norm_relative": norm,
        "ill_conditioned": sorted(odd),
        # Another order of summation is as good as this one: ten times what it leads away from float64.
        "suggested_tolerance": {"update": max(1e-4, 10 * error), "loss": max(2e-6, 10 * loss), "norm": max(1e-5, 10 * norm)},
    }


def write(path, content):
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")
    path.chmod(0o644)


def main():
    OUT.mkdir(exist_ok=True)
    records = {base: draws(base) for base in BASES}
    names = {}
    for base, steps in records.items():
        path = OUT / f"{base}.safetensors"
        save_file({f"{k}.{name}": value.contiguous() for k, step in enumerate(steps) for name, value in step.items()}, path)
        path.chmod(0o644)
    for case in CASES:
        if len(sys.argv) > 2 and case.name not in sys.argv[2:]:
            continue
        run = train(case, records[case.base], torch.float32)
        exact = train(case, records[case.base], torch.float64)
        noise = compare(case.name, run, exact)
        tensors = {kind: summary(run["first"], values).float() for kind, values in run["values"].items()}
        save_file(tensors, OUT / f"{case.name}.safetensors")
        (OUT / f"{case.name}.safetensors").chmod(0o644)
        micro = [{"loss": loss} for loss in run["losses"]]
        steps = [{"lr": lr, "gradNorm": norm} for lr, norm in zip(run["lr"], run["norms"], strict=True)]
        parts = ["unet", *(["text_encoder"] if case.settings.get("trainTextEncoder") else [])]
        for part in parts:
            names.setdefault(case.base, {})[part] = [name for name in run["first"] if name.startswith(f"{part}.")]
        write(
            OUT / f"{case.name}.json",
            {
                "base": case.base,
                "predictionType": case.prediction,
                "steps": case.steps,
                "lr": case.lr,
                "weightDecay": 1e-2,
                "settings": case.settings,
                "microSteps": micro,
                "optimizerSteps": steps,
                "noise": noise,
            },
        )
    if len(sys.argv) == 2:
        (OUT / "names.json").write_text(json.dumps(names, separators=(",", ":")) + "\n", encoding="utf8")
        (OUT / "names.json").chmod(0o644)


if __name__ == "__main__":
    main()
