"""Writes fixtures/img2img: diffusers' image-to-image and inpainting pipelines on tiny models, for packages/pipeline/test/generation.

    python tools/img2img/make_fixtures.py

Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0. `inpainting` is tiny-sd with a U-Net of nine input channels, whose first layer is
`conv_in` (its other weights are tiny-sd's). Pipelines get the means of the pictures' latents, as sdft takes them.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "fixtures" / "goldens" / "tiny-sd"
OUT = ROOT / "fixtures" / "img2img"
SD1 = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
SCHEDULERS = {
    "ddim": DDIMScheduler(**SD1, clip_sample=False, set_alpha_to_one=False),
    "euler": EulerDiscreteScheduler(**SD1, timestep_spacing="leading"),
    "dpmpp-2m": DPMSolverMultistepScheduler(**SD1, timestep_spacing="leading", algorithm_type="dpmsolver++", solver_order=2),
}


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(3)
    unet = UNet2DConditionModel.from_pretrained(BASE / "unet")
    parts = dict(
        vae=AutoencoderKL.from_pretrained(BASE / "vae").eval(),
        text_encoder=CLIPTextModel.from_pretrained(BASE / "text_encoder").eval(),
        tokenizer=CLIPTokenizer.from_pretrained(BASE / "tokenizer"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    wide = UNet2DConditionModel.from_config({**unet.config, "in_channels": 9})
    state = unet.state_dict()
    state["conv_in.weight"] = torch.cat([state["conv_in.weight"], 0.1 * torch.randn(state["conv_in.weight"].shape[0], 5, 3, 3)], dim=1)
    wide.load_state_dict(state)
    unet.eval(), wide.eval()
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    image = torch.stack([x, y, torch.sin(4 * x * y)])[None]
    mask = ((x**2 + (y - 0.3) ** 2) < 0.4).float()[None, None]
    # What the pipeline draws first is its noise.
    noise = torch.randn((1, parts["vae"].config.latent_channels, 8, 8), generator=torch.Generator().manual_seed(11))
    scale = parts["vae"].config.scaling_factor

    def mean(pixels):
        with torch.no_grad():
            return parts["vae"].encode(pixels).latent_dist.mean * scale

    tensors = {"conv_in": wide.state_dict()["conv_in.weight"].clone(), "image": image, "mask": mask, "noise": noise}
    for name, scheduler in SCHEDULERS.items():
        for strength in (0.35, 0.8, 1.0):
            generator = torch.Generator().manual_seed(11)
            pipe = StableDiffusionImg2ImgPipeline(unet=unet, scheduler=scheduler, **parts)
            pipe.set_progress_bar_config(disable=True)
            out = pipe("a red cup", image=mean(image), strength=strength, num_inference_steps=10, guidance_scale=7.5, generator=generator, output_type="latent")
            tensors[f"img2img.{name}.{strength}"] = out.images.contiguous()
            pipe = StableDiffusionInpaintPipeline(unet=wide, scheduler=scheduler, **parts)
            pipe.set_progress_bar_config(disable=True)
            generator = torch.Generator().manual_seed(11)
            masked = image * (mask < 0.5)
            out = pipe(
                "a red cup", image=mean(image), mask_image=mask, masked_image_latents=mean(masked), height=64, width=64, strength=strength, num_inference_steps=10, guidance_scale=7.5, generator=generator, output_type="latent",
            )
            tensors[f"inpaint.{name}.{strength}"] = out.images.contiguous()
    # Everything is drawn: whatever the picture is, nothing of it is left.
    pipe = StableDiffusionInpaintPipeline(unet=wide, scheduler=SCHEDULERS["ddim"], **parts)
    pipe.set_progress_bar_config(disable=True)
    out = pipe(
        "a red cup", image=image, mask_image=torch.ones_like(mask), masked_image_latents=mean(torch.zeros_like(image)), height=64, width=64, strength=1.0, num_inference_steps=10, guidance_scale=7.5, generator=torch.Generator().manual_seed(11), output_type="latent",
    )
    tensors["everything.ddim"] = out.images.contiguous()
    OUT.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in tensors.items()}, OUT / "latents.safetensors")
    print((OUT / "latents.safetensors").stat().st_size)


main()
