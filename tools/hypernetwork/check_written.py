"""Loads hypernetworks that sdft wrote with A1111's own code, applies them to the networks of diffusers, and draws the same pictures.

    node --conditions=@sdft/source tools/hypernetwork/write_samples.ts FOLDER
    python tools/hypernetwork/check_written.py WEBUI FOLDER

WEBUI: AUTOMATIC1111/stable-diffusion-webui v1.10.1, of which two files are read.
Ran with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.0. Without network.
"""

import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import a1111 as source
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextModel

WEBUI, FOLDER = map(Path, sys.argv[1:3])
GIVEN = load_file(source.FIXTURES / "hypernetwork" / "pictures.safetensors")
a1111 = source.load(WEBUI, FOLDER)
text = CLIPTextModel.from_pretrained(source.BASE / "text_encoder").eval()
failures = 0


@torch.no_grad()
def latents(hypernetworks):
    context = torch.cat([text(GIVEN[key]).last_hidden_state for key in ("uncond_ids", "cond_ids")])
    unet = UNet2DConditionModel.from_pretrained(source.BASE / "unet").eval()
    source.attach(a1111, unet, hypernetworks)
    scheduler = DDIMScheduler.from_pretrained(source.BASE / "scheduler")
    scheduler.set_timesteps(6)
    x = GIVEN["latents"] * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        uncond, cond = unet(torch.cat([x] * 2), t, context).sample.chunk(2)
        x = scheduler.step(uncond + 7.5 * (cond - uncond), t, x).prev_sample
    return x


base = latents([])
for path in sorted(FOLDER.glob("*.pt")):
    torch.load(path, weights_only=True)
    hypernetwork = a1111.Hypernetwork()
    hypernetwork.load(str(path))
    ours = load_file(path.with_suffix(".safetensors"))["latents"]
    off = (latents([hypernetwork.set_multiplier(1)]) - ours).abs().max().item()
    moved = (ours - base).abs().max().item()
    holds = off <= 1e-3 and moved > 0.01
    failures += not holds
    print("ok" if holds else "FAILED", f"{path.name}, {hypernetwork.layer_structure}: latents differ by at most {off:.1e} (from those without it by {moved:.1e})")
sys.exit(1 if failures else 0)
