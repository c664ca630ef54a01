"""Writes fixtures/objectives/kohya.json: noise, losses and weights as kohya's trainers and diffusers' DREAM compute them, for packages/methods/test/objectives.

    python tools/objectives/make_kohya.py SD-SCRIPTS

SD-SCRIPTS is a checkout of kohya-ss/sd-scripts 48d368f. Made with Python 3.11, torch 2.15.0, diffusers 0.42.1. The functions run as they stand there; only the numbers that they
draw are noted.
"""

import json
import math
import random
import sys
import types
from pathlib import Path

import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_dream_and_update_latents
from kohya_functions import kohya

OUT = Path(__file__).resolve().parents[2] / "fixtures" / "objectives"
KOHYA = kohya(sys.argv[1])
BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
SHAPE = [4, 2, 6, 10]
TIMESTEPS = [3, 250, 600, 999]


def numbers(tensor) -> list[float]:
    return [float(f"{v:.8g}") for v in tensor.flatten().tolist()]


def pyramid(noise, iterations, discount):
    """What it gives, and what it drew: the factors, and the noises in the upper left of the whole size."""
    drawn, scales = [], []
    randn, uniform = torch.randn, random.random

    def noted_randn(*shape):
        value = randn(*shape).round(decimals=4)
        whole = torch.full(list(noise.shape), 9.0)
        whole[:, :, : shape[2], : shape[3]] = value
        drawn.append(whole)
        return value

    def noted_uniform():
        # What is recorded is float32.
        scales.append(torch.tensor(uniform()).item())
        return scales[-1]

    torch.randn, random.random = noted_randn, noted_uniform
    try:
        result = KOHYA.pyramid_noise_like(noise.clone(), "cpu", iterations, discount)
    finally:
        torch.randn, random.random = randn, uniform
    unused = iterations - len(drawn)
    drawn += [torch.full(list(noise.shape), 9.0)] * unused
    return {
        "shape": list(noise.shape),
        "noise": numbers(noise),
        "iterations": iterations,
        "discount": discount,
        "sizes": iterations - unused,
        "scales": scales + [0.5] * unused,
        "drawn": [numbers(one) for one in drawn],
        "result": numbers(result),
    }


def main() -> None:
    torch.manual_seed(5)
    random.seed(6)
    latents, noise, predicted, perturbation = (torch.randn(*SHAPE).round(decimals=4) for _ in range(4))
    t = torch.tensor(TIMESTEPS)
    cases = []
    for prediction in ["epsilon", "v_prediction"]:
        for zero in [False, True]:
            scheduler = DDPMScheduler(prediction_type=prediction, **BETAS)
            if zero:
                KOHYA.fix_noise_scheduler_betas_for_zero_terminal_snr(scheduler)
            KOHYA.prepare_scheduler_for_custom_training(scheduler, "cpu")
            for settings in [
                {"debiasedEstimation": True},
                {"snrGamma": 5.0, "debiasedEstimation": True},
                {"lossType": "l1"},
                {"lossType": "huber"},
                {"lossType": "huber", "huberSchedule": "exponential", "huberC": 0.3, "huberScale": 1.5},
                {"lossType": "huber", "huberSchedule": "constant", "huberC": 0.2, "huberScale": 0.5},
                {"lossType": "smooth-l1"},
                {"lossType": "smooth-l1", "huberSchedule": "exponential"},
                {"lossType": "smooth-l1", "huberSchedule": "constant", "huberC": 0.5},
                {"inputPerturbation": 0.1},
                *([{"dreamTraining": True}, {"dreamTraining": True, "dreamDetailPreservation": 2.5}] if prediction == "epsilon" else []),
            ]:
                noisy = scheduler.add_noise(latents, noise + settings.get("inputPerturbation", 0) * perturbation, t)
                target = noise if prediction == "epsilon" else scheduler.get_velocity(latents, noise, t)
                if settings.get("dreamTraining"):
                    unet = lambda *_: types.SimpleNamespace(sample=predicted)  # noqa: E731
                    p = settings.get("dreamDetailPreservation", 1.0)
                    noisy, target = compute_dream_and_update_latents(unet, scheduler, t, noise, noisy, target, None, p)
                args = types.SimpleNamespace(
                    loss_type=settings.get("lossType", "l2").replace("-", "_"),
                    huber_schedule=settings.get("huberSchedule", "snr"),
                    huber_c=settings.get("huberC", 0.1),
                    huber_scale=settings.get("huberScale", 1.0),
                )
                c = KOHYA.get_huber_threshold_if_needed(args, t, scheduler)
                loss = KOHYA.conditional_loss(predicted, target, args.loss_type, "none", c).mean([1, 2, 3])
                if "snrGamma" in settings:
                    loss = KOHYA.apply_snr_weight(loss, t, scheduler, settings["snrGamma"], prediction == "v_prediction")
                if settings.get("debiasedEstimation"):
                    loss = KOHYA.apply_debiased_estimation(loss, t, scheduler, prediction == "v_prediction")
                cases.append(
                    {
                        "prediction": prediction,
                        "zeroTerminalSnr": zero,
                        "settings": settings,
                        "noisy": numbers(noisy[:, 0, 0]),
                        # JSON knows no infinity and no NaN: kohya divides by an SNR of 0.
                        "losses": [value if math.isfinite(value) else None for value in numbers(loss)],
                    }
                )
    content = {
        "what": "noise, losses and weights as kohya-ss/sd-scripts 48d368f and diffusers 0.42.1 compute them; `noisy` is the first row of each sample's first channel",
        "shape": SHAPE,
        "timesteps": TIMESTEPS,
        **{name: numbers(value) for name, value in dict(latents=latents, noise=noise, predicted=predicted, perturbation=perturbation).items()},
        "pyramids": [
            pyramid(torch.randn(1, 2, 12, 16).round(decimals=4), 5, 0.3),
            pyramid(torch.randn(2, 1, 5, 9).round(decimals=4), 2, 0.8),
            pyramid(torch.randn(1, 1, 3, 3).round(decimals=4), 1, 0.4),
        ],
        "cases": cases,
    }  # fmt: skip
    path = OUT / "kohya.json"
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    path.chmod(0o644)
    print(path.stat().st_size, [p["sizes"] for p in content["pyramids"]])


if __name__ == "__main__":
    main()
