"""Writes fixtures/objectives/denoise.json: losses as diffusers' training scripts compute them, for packages/methods/test/objectives.

    python tools/objectives/make_fixtures.py

Made with Python 3.11, torch 2.15.0, diffusers 0.42.1. Noise, targets and SNR are diffusers' own (DDPMScheduler, compute_snr); the lines around them are those of
examples/text_to_image/train_text_to_image.py (min-SNR), examples/dreambooth/train_dreambooth.py (prior preservation) and
examples/advanced_diffusion_training (the weight with + 1) of huggingface/diffusers 58eb52c.
"""

import json
from pathlib import Path

import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr

OUT = Path(__file__).resolve().parents[2] / "fixtures" / "objectives"
SHAPE = [4, 2, 3, 3]
BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def numbers(tensor) -> list[float]:
    return [round(float(v), 9) for v in tensor.flatten().tolist()]


def main() -> None:
    generator = torch.Generator().manual_seed(11)
    drawn = lambda *shape: torch.randn(*shape, generator=generator).round(decimals=4)  # noqa: E731
    latents, noise, predicted, offset = drawn(*SHAPE), drawn(*SHAPE), drawn(*SHAPE), drawn(4, 2, 1, 1)
    weight = drawn(4, 1, 3, 3).abs()
    timesteps = torch.tensor([3, 250, 600, 998])
    cases = []
    for prediction in ["epsilon", "v_prediction"]:
        scheduler = DDPMScheduler(prediction_type=prediction, **BETAS)
        for settings in [
            {},
            {"snrGamma": 5.0},
            {"snrGamma": 0.5},
            {"snrGamma": 5.0, "snrWeightForV": "snr"},
            {"snrGamma": 5.0, "snrWeightForV": "plus-1"},
            {"noiseOffset": 0.1},
            {"noiseOffset": 0.1, "snrGamma": 5.0, "weight": True, "instances": 2},
        ]:
            if prediction == "epsilon" and "snrWeightForV" in settings:
                continue
            used = noise + settings.get("noiseOffset", 0) * offset
            noisy = scheduler.add_noise(latents, used, timesteps)
            target = used if prediction == "epsilon" else scheduler.get_velocity(latents, used, timesteps)
            loss = torch.nn.functional.mse_loss(predicted, target, reduction="none")
            if settings.get("weight"):
                loss = loss * weight
            loss = loss.mean(dim=[1, 2, 3])
            if "snrGamma" in settings:
                snr = compute_snr(scheduler, timesteps)
                weights = torch.stack([snr, settings["snrGamma"] * torch.ones_like(timesteps)], dim=1).min(dim=1)[0]
                kind = settings.get("snrWeightForV", "snr+1")
                if prediction == "epsilon" or kind == "snr":
                    weights = weights / snr
                elif kind == "plus-1":
                    weights = weights / snr + 1
                else:
                    weights = weights / (snr + 1)
                weights[settings.get("instances", 4) :] = 1.0
                loss = loss * weights
            cases.append({"prediction": prediction, "settings": settings, "noisy": numbers(noisy), "losses": numbers(loss)})
    OUT.mkdir(parents=True, exist_ok=True)
    content = {
        "what": "losses of samples whose prediction is given, as diffusers computes them",
        "shape": SHAPE,
        "timesteps": timesteps.tolist(),
        **{name: numbers(t) for name, t in dict(latents=latents, noise=noise, offset_noise=offset, predicted=predicted, weight=weight).items()},
        "cases": cases,
    }  # fmt: skip
    (OUT / "denoise.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
