"""Writes fixtures/autoencoder: an AutoencoderKL trained for some steps, for packages/methods/test/autoencoder.

    python tools/autoencoder/make_fixtures.py

Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, safetensors 0.8.0. Network, posterior, Kullback-Leibler divergence (a sum there, divided here by the latent numbers of a
picture), gradients and AdamW are diffusers' and torch's; the loss is spelled out below. Each run is repeated in float64 from the same numbers, which says how far rounding leads away.
Of every tensor the norm of its movement and its first four numbers are kept.
"""

import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import save_file

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
OUT = FIXTURES / "autoencoder"
VAE = FIXTURES / "goldens" / "tiny-sd" / "vae"
STEPS, BATCH, SIDE, LR, FIRST = 3, 1, 32, 1e-4, 4
CASES = {
    "l1": {"pixelLoss": "l1", "gradientWeight": 0.5, "klWeight": 0.01},
    "decoder": {"at": "vae.decoder.**", "pixelLoss": "l2", "gradientWeight": 0.25, "klWeight": 0},
    "psnr": {"at": "vae.decoder.**", "pixelLoss": "psnr", "gradientWeight": 0.25, "klWeight": 0},
}


def loss_of(vae, settings, pixels, noise):
    posterior = vae.encode(pixels).latent_dist
    difference = vae.decode(posterior.mean + posterior.std * noise).sample - pixels
    measure = torch.abs if settings["pixelLoss"] == "l1" else torch.square
    per_picture = lambda x: measure(x).mean(dim=[1, 2, 3])  # noqa: E731
    slopes = per_picture(difference.diff(dim=2)) + per_picture(difference.diff(dim=3))
    divergence = posterior.kl() / noise[0].numel()
    loss = per_picture(difference) + settings["gradientWeight"] * slopes
    if settings["pixelLoss"] == "psnr":
        loss = torch.log(loss + 1.6e-10)
    return (loss + settings["klWeight"] * divergence).mean()


def train(settings, steps, dtype):
    vae = AutoencoderKL.from_pretrained(VAE).to(dtype)
    named = {f"vae.{name}": p for name, p in vae.named_parameters()}
    trained = {name: p for name, p in named.items() if name.startswith(settings.get("at", "vae.**").removesuffix("**"))}
    for name, p in named.items():
        p.requires_grad_(name in trained)
    first = {name: p.detach().clone() for name, p in named.items()}
    optimizer = torch.optim.AdamW(trained.values(), lr=LR, betas=(0.9, 0.999), weight_decay=0, eps=1e-8)
    losses, norms = [], []
    for step in steps:
        loss = loss_of(vae, settings, step["pixel_values"].to(dtype), step["posterior_noise"].to(dtype))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(list(trained.values()), 1e9).item())
        optimizer.step()
    return {"losses": losses, "norms": norms, "first": first, "last": {name: p.detach() for name, p in trained.items()}}


def kept(run):
    rows = []
    for name, value in run["last"].items():
        start = value.flatten()[:FIRST].double()
        moved = (value.double() - run["first"][name].double()).norm().reshape(1)
        rows.append(F.pad(torch.cat([moved, start]), (0, FIRST - len(start))))
    return torch.stack(rows).float()


def main():
    OUT.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    config = AutoencoderKL.load_config(VAE)
    side = SIDE // 2 ** (len(config["block_out_channels"]) - 1)
    steps = [
        {
            # Smooth pictures with an edge: noise would teach nothing.
            "pixel_values": F.interpolate(torch.rand(BATCH, 3, 8, 8, generator=generator) * 2 - 1, SIDE, mode="nearest").contiguous(),
            "posterior_noise": torch.randn(BATCH, config["latent_channels"], side, side, generator=generator),
            "input_ids": torch.zeros(BATCH, 77, dtype=torch.long),
        }
        for _ in range(STEPS)
    ]
    save_file({f"{k}.{name}": value for k, step in enumerate(steps) for name, value in step.items()}, OUT / "record.safetensors")
    runs = {}
    for name, settings in CASES.items():
        run, exact = (train(settings, steps, dtype) for dtype in (torch.float32, torch.float64))
        odd = []
        for tensor, value in run["last"].items():
            moved = (exact["last"][tensor] - exact["first"][tensor]).norm()
            if (value.double() - exact["last"][tensor]).norm() > 0.02 * moved:
                odd.append(tensor)
        errors = [abs(a - b) / abs(b) for key in ("losses", "norms") for a, b in zip(run[key], exact[key], strict=True)]
        total = len(run["last"])
        print(f"{name}: losses and norms {max(errors):.1e} from float64, {len(odd)} of {total} ill-conditioned")
        save_file({"kept": kept(run)}, OUT / f"{name}.safetensors")
        runs[name] = {"settings": settings, "losses": run["losses"], "norms": run["norms"], "names": list(run["last"]), "illConditioned": odd, "error": max(errors)}
    (OUT / "runs.json").write_text(json.dumps({"lr": LR, "runs": runs}, indent=1) + "\n", encoding="utf8")
    for path in OUT.iterdir():
        path.chmod(0o644)


if __name__ == "__main__":
    main()
