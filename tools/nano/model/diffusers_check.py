"""Draws the same picture with diffusers and with sdft, from the same noise, and prints how far the latents are apart:

    python tools/nano/model/diffusers_check.py

Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.0. Both compute in f32; DDIM, 25 steps, guidance 4.
"""

import os
import subprocess
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

REPOSITORY = Path(__file__).resolve().parents[3]
MODEL = REPOSITORY / "packages" / "nano" / "model"
PROMPTS = ["a flat drawing of an astronaut", "a shiny drawing of cat face"]
STEPS, GUIDANCE = 25, 4.0


def by_diffusers(prompt, noise):
    pipe = StableDiffusionPipeline.from_pretrained(MODEL, safety_checker=None, torch_dtype=torch.float32)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    call = {"height": 64, "width": 64, "num_inference_steps": STEPS, "guidance_scale": GUIDANCE}
    return pipe(prompt, latents=noise, output_type="latent", **call).images


def by_sdft(prompt, noise, folder):
    save_file({"latents": noise}, folder / "noise.safetensors")
    command = ["npx", "sdft", "generate", "--base", MODEL, "--prompt", prompt, "--sampler", "ddim", "--steps", STEPS, "--cfg", GUIDANCE]
    files = ["--latents", folder / "noise.safetensors", "--save-latents", folder / "latents.safetensors", "--out", folder / "pictures"]
    subprocess.run([str(part) for part in command + files], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return load_file(folder / "latents.safetensors")["latents"]


def main():
    for seed, prompt in enumerate(PROMPTS):
        noise = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(seed))
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = by_sdft(prompt, noise, Path(folder)), by_diffusers(prompt, noise)
        print(f"{prompt}: latents up to {theirs.abs().max():.2f}, largest difference {(ours - theirs).abs().max():.1e}")


if __name__ == "__main__":
    main()
