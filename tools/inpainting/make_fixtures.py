"""Writes fixtures/inpainting: a run of DreamBooth on an inpainting model, for packages/methods/test/inpainting.

    python tools/inpainting/make_fixtures.py SCRIPT

SCRIPT: examples/research_projects/dreambooth_inpaint/train_dreambooth_inpaint.py of huggingface/diffusers at 58eb52c0803ea9af3abec60841c2a093bdf1f951 (Apache 2.0). It is made
for versions that are gone; what it draws masks with and applies them with is taken from it, the rest of its loop is below.
Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, Pillow 13.0.0, safetensors 0.8.0. Without network.

The model is fixtures/replay/sd2-base with five more channels in its first layer, `conv_in`. Rectangles are the script's own; ellipses are those of the formula below, which may
differ from Pillow's by the pixels at their edge: this is asserted. The run is repeated in float64: noise.json says how far rounding leads away.
"""

import ast
import json
import math
import os
import random
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging

logging.disable_progress_bar()
torch.set_num_threads(1)

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
BASE = FIXTURES / "replay" / "sd2-base"
OUT = FIXTURES / "inpainting"
# One picture of the subject, then one of the class.
STEPS, BATCH, HEIGHT, WIDTH, SCALE = 4, 2, 32, 48, 8
LR, PRIOR_WEIGHT = 2e-4, 0.5
CAPTIONS = ["a photo of sks dog", "a photo of a dog"]


def script_functions(path):
    names = ("random_mask", "prepare_mask_and_masked_image")
    tree = ast.parse(Path(path).read_text(encoding="utf8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    space = {"np": np, "torch": torch, "Image": Image, "ImageDraw": ImageDraw, "random": random}
    exec(compile(tree, str(path), "exec"), space)
    return [space[name] for name in names]


def mask_of(u, random_mask):
    """The script's mask, its whole numbers being those that the uniform numbers u say: as often as random.randint's."""
    # In float32, as a record holds them.
    f = np.float32
    pick = lambda share, least, most: least + min(int(f(share) * f(most - least + 1)), most - least)  # noqa: E731
    shares = [u[0], u[1], u[2], u[3], u[4]]

    def randint(least, most):
        return pick(shares.pop(0), least, most)

    was, random.randint = random.randint, randint
    try:
        theirs = np.array(random_mask((WIDTH, HEIGHT), 1, False)) > 127
    finally:
        random.randint = was
    if u[4] < 0.5:
        return theirs
    size = [pick(u[0], 0, WIDTH), pick(u[1], 0, HEIGHT)]
    half = [side // 2 for side in size]
    middle = [pick(u[2 + i], half[i], side - half[i]) for i, side in enumerate((WIDTH, HEIGHT))]
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    ours = ((x - middle[0]) / (half[0] + 0.5)) ** 2 + ((y - middle[1]) / (half[1] + 0.5)) ** 2 <= 1
    grown = np.pad(theirs, 1)
    near = sum(grown[1 + dy : 1 + dy + HEIGHT, 1 + dx : 1 + dx + WIDTH].astype(int) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
    # Inside of both, or outside of both, but for the edge.
    assert not (ours != theirs)[(near == 0) | (near == 9)].any()
    return ours


def draws(random_mask):
    generator = torch.Generator().manual_seed(8)
    randn = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    ids = CLIPTokenizer.from_pretrained(BASE / "tokenizer")(CAPTIONS, padding="max_length", max_length=77, return_tensors="pt").input_ids
    latents = (BATCH, 4, HEIGHT // SCALE, WIDTH // SCALE)
    y, x = torch.meshgrid(torch.linspace(-1, 1, HEIGHT), torch.linspace(-1, 1, WIDTH), indexing="ij")
    steps, masks = [], []
    for k in range(STEPS):
        a = torch.rand(BATCH, 3, 1, 1, generator=generator)
        pixels = torch.sin(5 * a * x + 3 * y + torch.arange(3)[:, None, None])
        uniform = torch.rand(BATCH, 5, generator=generator)
        # Both kinds of shape in every batch, and none so small that it says nothing.
        uniform[:, :2] = 0.3 + 0.7 * uniform[:, :2]
        uniform[:, 4] = torch.tensor([0.25, 0.75]) if k % 2 else torch.tensor([0.5, 0.0])
        steps.append(
            {
                "pixel_values": ((pixels + 1) * 127.5).round() / 127.5 - 1,
                "input_ids": ids.clone(),
                "posterior_noise": randn(*latents),
                "noise": randn(*latents),
                "timesteps": torch.randint(0, 1000, (BATCH,), generator=generator),
                "mask": uniform,
                "masked_noise": randn(*latents),
            }
        )
        masks.append([mask_of(row.numpy(), random_mask) for row in uniform])
    return steps, masks


def train(steps, masks, conv_in, prepare, dtype):
    config = {**UNet2DConditionModel.load_config(BASE / "unet"), "in_channels": 9}
    unet = UNet2DConditionModel.from_config(config)
    state = UNet2DConditionModel.from_pretrained(BASE / "unet").state_dict()
    unet.load_state_dict({**state, "conv_in.weight": conv_in})
    unet = unet.to(dtype).train()
    vae = AutoencoderKL.from_pretrained(BASE / "vae").to(dtype).requires_grad_(False)
    text = CLIPTextModel.from_pretrained(BASE / "text_encoder").to(dtype).requires_grad_(False)
    scheduler = DDPMScheduler.from_pretrained(BASE / "scheduler")
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(dtype)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=LR, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    first = {f"unet.{name}": p.detach().clone() for name, p in unet.named_parameters()}

    def latents_of(pixels, noise):
        posterior = vae.encode(pixels).latent_dist
        return (posterior.mean + posterior.std * noise) * vae.config.scaling_factor

    losses, norms = [], []
    for drawn, shapes in zip(steps, masks, strict=True):
        d = {name: value.to(dtype) if value.is_floating_point() else value for name, value in drawn.items()}
        prepared = []
        for pixels, shape in zip(drawn["pixel_values"], shapes, strict=True):
            image = Image.fromarray(((pixels + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy())
            prepared.append(prepare(image, Image.fromarray(shape.astype(np.uint8) * 255)))
        mask = torch.cat([F.interpolate(one.to(dtype), size=(HEIGHT // SCALE, WIDTH // SCALE)) for one, _ in prepared])
        masked = latents_of(torch.cat([image.to(dtype) for _, image in prepared]), d["masked_noise"])
        latents = latents_of(d["pixel_values"], d["posterior_noise"])
        noisy = scheduler.add_noise(latents, d["noise"], d["timesteps"])
        predicted = unet(torch.cat([noisy, mask, masked], dim=1), d["timesteps"], text(d["input_ids"])[0]).sample
        target = scheduler.get_velocity(latents, d["noise"], d["timesteps"])
        (own, prior), (own_target, prior_target) = predicted.chunk(2), target.chunk(2)
        loss = F.mse_loss(own, own_target) + PRIOR_WEIGHT * F.mse_loss(prior, prior_target)
        losses.append(loss.item())
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0).item())
        optimizer.step()
        optimizer.zero_grad()
    return {"losses": losses, "norms": norms, "first": first, "last": {f"unet.{name}": p.detach() for name, p in unet.named_parameters()}}


def told(update):
    """Two numbers that tell a tensor: its norm, and its product with cos 1, cos 2, ..."""
    flat = update.double().flatten()
    return flat.norm().item(), (flat * torch.cos(torch.arange(1, len(flat) + 1, dtype=torch.float64))).sum().item()


def save(run, exact):
    updates, uncertain, worst, error_sum, sum_ = {}, [], 0.0, 0.0, 0.0
    for key, value in run["last"].items():
        norm, product = told(value.double() - run["first"][key].double())
        error = (exact["last"][key] - value.double()).norm().item()
        updates[key] = [float(f"{number:.9g}") for number in (norm, product)]
        # Gradients that are zero in exact arithmetic: what moves these is rounding.
        if error > 2e-3 * norm:
            uncertain.append(key)
        else:
            error_sum, sum_, worst = error_sum + error**2, sum_ + norm**2, max(worst, error / norm)
    loss_error = max(abs(a - b) for a, b in zip(run["losses"], exact["losses"], strict=True))
    norm_error = max(abs(a / b - 1) for a, b in zip(run["norms"], exact["norms"], strict=True))
    relative = math.sqrt(error_sum / sum_)
    tolerance = {
        "relative_error_of_update": max(1e-4, 10 * relative),
        "worst_tensor": max(1e-3, 10 * worst),
        "loss_abs": max(2e-5, 10 * loss_error),
        "grad_norm_relative": max(1e-4, 10 * norm_error),
    }
    micro = [{"k": k, "loss": loss, "lr": LR, "grad_norm": norm} for k, (loss, norm) in enumerate(zip(run["losses"], run["norms"], strict=True))]
    what = "the same run in float64: e = norm(float64 - result), u = norm(result - initial), compared as e / u; tolerances are ten times that"
    write(OUT / "loss.json", {"micro_steps": micro})
    write(OUT / "noise.json", {"what": what, "uncertain": uncertain, "suggested_tolerance": tolerance})
    (OUT / "updates.json").write_text("{\n" + ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in updates.items()) + "\n}\n")
    kept = ["unet.conv_in.weight", "unet.conv_out.weight", "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"]
    save_file({key: run["last"][key].contiguous() for key in kept}, OUT / "result.safetensors")
    print(f"losses {run['losses']}, update {relative:.1e}, worst {worst:.1e}, uncertain {len(uncertain)} of {len(updates)}, loss {loss_error:.1e}, norm {norm_error:.1e}")


def write(path, content):
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")


def main():
    random_mask, prepare = script_functions(sys.argv[1])
    OUT.mkdir(parents=True, exist_ok=True)
    steps, masks = draws(random_mask)
    save_file({f"{k}.{name}": value.contiguous() for k, step in enumerate(steps) for name, value in step.items()}, OUT / "replay.safetensors")
    conv_in = UNet2DConditionModel.from_pretrained(BASE / "unet").state_dict()["conv_in.weight"]
    more = 0.2 * torch.randn(conv_in.shape[0], 5, 3, 3, generator=torch.Generator().manual_seed(2))
    conv_in = torch.cat([conv_in, more], dim=1)
    save_file({"conv_in": conv_in.contiguous()}, OUT / "conv_in.safetensors")
    save(train(steps, masks, conv_in, prepare, torch.float32), train(steps, masks, conv_in, prepare, torch.float64))
    for path in OUT.iterdir():
        path.chmod(0o644)
    print(sum(path.stat().st_size for path in OUT.iterdir()), "bytes")


if __name__ == "__main__":
    main()
