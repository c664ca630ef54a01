"""Writes fixtures/validation/losses.json: the validation loss of goldens/tiny-sd on goldens/train/images, picture by picture.

    python tools/validation/make_fixtures.py

Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, numpy 2.4.6, Pillow 13.0.0. Without network.

No published program measures this loss at fixed draws. AutoencoderKL, CLIPTextModel, UNet2DConditionModel and DDPMScheduler (add_noise, get_velocity) are diffusers' and transformers'; the noise is
Philox4x32-10 (Salmon et al. 2011) with Box and Muller's transform, written below from the docstring of packages/tensor/src/random/draws.ts.
"""

import json
import math
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
BASE = FIXTURES / "goldens" / "tiny-sd"
IMAGES = FIXTURES / "goldens" / "train" / "images"
OUT = FIXTURES / "validation"
CAPTIONS = ["a cup of coffee", "a photo of a rocket"]
DRAWS = 8
MASK = 0xFFFFFFFF


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & MASK, (a >> 32) ^ c[3] ^ k[1], a & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def normal(name, step, count):
    digest = fnv1a(name)
    numbers = []
    for block in range(math.ceil(count / 2)):
        w = philox([block, step, digest & MASK, digest >> 32], [0, 0])
        u, v = (((w[i] >> 5) * 2**26 + (w[i + 1] >> 6)) / 2**53 for i in (0, 2))
        radius = math.sqrt(-2 * math.log(1 - u))
        numbers += [radius * math.cos(2 * math.pi * v), radius * math.sin(2 * math.pi * v)]
    return torch.from_numpy(np.array(numbers[:count], dtype=np.float32))


@torch.no_grad()
def losses(prediction_type):
    vae, unet = (M.from_pretrained(BASE, subfolder=s) for M, s in ((AutoencoderKL, "vae"), (UNet2DConditionModel, "unet")))
    text, tokenizer = (M.from_pretrained(BASE, subfolder=s) for M, s in ((CLIPTextModel, "text_encoder"), (CLIPTokenizer, "tokenizer")))
    scheduler = DDPMScheduler.from_pretrained(BASE, subfolder="scheduler", prediction_type=prediction_type)
    found = {}
    for i, path in enumerate(sorted(IMAGES.glob("*.png"))):
        pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None].float() / 127.5 - 1
        latents = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
        ids = tokenizer(CAPTIONS[i % 2], padding="max_length", truncation=True, max_length=tokenizer.model_max_length, return_tensors="pt").input_ids
        context = text(ids)[0]
        errors = []
        for k in range(DRAWS):
            t = int((k + 0.5) * scheduler.config.num_train_timesteps / DRAWS)
            noise = normal(f"validation {path.name}", t, latents.numel()).reshape(latents.shape)
            timestep = torch.tensor([t])
            said = unet(scheduler.add_noise(latents, noise, timestep), timestep, context).sample
            target = noise if prediction_type == "epsilon" else scheduler.get_velocity(latents, noise, timestep)
            errors.append(F.mse_loss(said.double(), target.double()).item())
        found[path.name] = sum(errors) / len(errors)
    return found


OUT.mkdir(exist_ok=True)
result = {"captions": CAPTIONS, "draws": DRAWS, "epsilon": losses("epsilon"), "v": losses("v_prediction")}
(OUT / "losses.json").write_text(json.dumps(result, indent=2) + "\n")
