"""Writes fixtures/super-resolution: a very small x4 upscaler, runs that train it, and pictures that it enlarges.

    python tools/super-resolution/make_fixtures.py

Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.0. Without network.

`base` has the parts of diffusers' StableDiffusionUpscalePipeline with random weights, but for text encoder and tokenizer, which are those of fixtures/replay/sd2-base.
No published program trains an upscaler: `train` below is the loop of diffusers' examples/dreambooth/train_dreambooth.py (58eb52c) with what that pipeline gives its U-Net.
UNet2DConditionModel, AutoencoderKL, DDPMScheduler and compute_snr are diffusers', reduction (bicubic with antialiasing, as Pillow's), AdamW and gradients torch's.
Both runs have the draws of one record. Each is repeated in float64: noise.json says how far rounding leads away.
"""

import json
import math
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionUpscalePipeline,
    UNet2DConditionModel,
)
from diffusers.training_utils import compute_snr
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging

logging.disable_progress_bar()
torch.set_num_threads(1)

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
OUT = FIXTURES / "super-resolution"
TEXT = FIXTURES / "replay" / "sd2-base"
MICRO_STEPS, BATCH, HEIGHT, WIDTH, SCALE = 6, 2, 16, 24, 4
CAPTIONS = ["a photo of sks dog", "a photo of sks dog by the sea", "sks dog", ""]
LEVELS = 40
# After these sampler steps of 6.
KEPT = [0, 2, 5]
BETAS = dict(num_train_timesteps=1000, beta_start=0.0001, beta_end=0.02, beta_schedule="scaled_linear")
CASES = {
    # The default: from 1e-3 to 1e-5.
    "lowered": {"prediction_type": "v_prediction", "steps": 6, "lr": 2e-4, "augmentation": (1e-3, 1e-5)},
    "epsilon": {"prediction_type": "epsilon", "steps": 3, "accumulate": 2, "lr": 5e-4, "augmentation": (4e-3, 2e-3), "snr_gamma": 5.0},
}
SAMPLERS = {
    "ddim": DDIMScheduler(**BETAS, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1),
    "euler": EulerDiscreteScheduler(**BETAS, prediction_type="v_prediction", timestep_spacing="leading", steps_offset=1),
    "dpmpp-2m": DPMSolverMultistepScheduler(**BETAS, prediction_type="v_prediction", timestep_spacing="leading", steps_offset=1, algorithm_type="dpmsolver++"),
}


def randomise(model, generator):
    """Every parameter matters: gains of one and biases of zero would hide that they are not read. Values that f16 holds exactly."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() == 1:
                p.copy_((1 + 0.2 * noise) if "norm" in name and name.endswith("weight") else 0.1 * noise)
            elif "embedding" in name and "time" not in name:
                p.copy_(0.3 * noise)
            else:
                p.copy_(0.8 * noise / p[0].numel() ** 0.5)
            p.copy_(p.half().float())
    return model


def write_base():
    folder = OUT / "base"
    generator = torch.Generator().manual_seed(5)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=7,
        out_channels=4,
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        block_out_channels=[4, 8, 8],
        layers_per_block=1,
        attention_head_dim=2,
        cross_attention_dim=16,
        norm_num_groups=4,
        use_linear_projection=True,
        only_cross_attention=[True, True, False],
        num_class_embeds=LEVELS,
    )
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        block_out_channels=[4, 4, 8],
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=32,
        scaling_factor=0.08333,
    )
    for name, model in {"unet": unet, "vae": vae}.items():
        randomise(model, generator).half().save_pretrained(folder / name)
    SAMPLERS["ddim"].save_pretrained(folder / "scheduler")
    DDPMScheduler(**BETAS).save_pretrained(folder / "low_res_scheduler")
    index = {
        "_class_name": "StableDiffusionUpscalePipeline",
        "low_res_scheduler": ["diffusers", "DDPMScheduler"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    write(folder / "model_index.json", index)


def parts(dtype):
    base = OUT / "base"
    return (
        UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float32).to(dtype),
        AutoencoderKL.from_pretrained(base / "vae", torch_dtype=torch.float32).to(dtype).eval(),
        CLIPTextModel.from_pretrained(TEXT / "text_encoder").to(dtype).eval(),
    )


def pictures(generator, count):
    """Smooth shapes with sharp edges, beyond which bicubic reduction overshoots."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, HEIGHT), torch.linspace(-1, 1, WIDTH), indexing="ij")
    made = []
    for _ in range(count):
        a, b, c = torch.rand(3, generator=generator)
        waves = torch.stack([torch.sin(6 * a * x + 3 * y), torch.cos(5 * b * y - 2 * x), x * y])
        made.append(torch.where((x - c) ** 2 + (y - a + 0.5) ** 2 < 0.2, torch.tensor([1.0, -1.0, 1.0])[:, None, None], waves))
    return as_bytes(torch.stack(made))


def as_bytes(pixels):
    """What a picture file can hold."""
    return (((pixels + 1) * 127.5).round() / 127.5 - 1).clamp(-1, 1)


def draws():
    generator = torch.Generator().manual_seed(9)
    randn = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    tokenizer = CLIPTokenizer.from_pretrained(TEXT / "tokenizer")
    latents = (BATCH, 4, HEIGHT // SCALE, WIDTH // SCALE)
    steps = []
    for k in range(MICRO_STEPS):
        captions = [CAPTIONS[(BATCH * k + i) % len(CAPTIONS)] for i in range(BATCH)]
        steps.append(
            {
                "pixel_values": pictures(generator, BATCH),
                "input_ids": tokenizer(captions, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids,
                "posterior_noise": randn(*latents),
                "noise": randn(*latents),
                "timesteps": torch.randint(0, 1000, (BATCH,), generator=generator),
                "low_res_noise": randn(BATCH, 3, *latents[2:]),
            }
        )
    return steps


def level_at(share, scheduler):
    """The last noise level whose noise has at most this share of the variance."""
    noise = 1 - scheduler.alphas_cumprod.double()[:LEVELS]
    return max(0, int((noise <= share).sum()) - 1)


def train(case, steps, dtype):
    unet, vae, text = parts(dtype)
    unet.train(), vae.requires_grad_(False), text.requires_grad_(False)
    scheduler = DDPMScheduler(**BETAS, prediction_type=case["prediction_type"])
    low_res_scheduler = DDPMScheduler(**BETAS)
    for one in (scheduler, low_res_scheduler):
        one.alphas_cumprod = one.alphas_cumprod.to(dtype)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=case["lr"], betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    first = {f"unet.{name}": p.detach().clone() for name, p in unet.named_parameters()}
    accumulate = case.get("accumulate", 1)
    start, end = case["augmentation"]
    losses, norms, levels = [], [], []
    for k, drawn in enumerate(steps):
        d = {name: value.to(dtype) if value.is_floating_point() else value for name, value in drawn.items()}
        pixels, t = d["pixel_values"], d["timesteps"]
        posterior = vae.encode(pixels).latent_dist
        latents = (posterior.mean + posterior.std * d["posterior_noise"]) * vae.config.scaling_factor
        small = F.interpolate(pixels, size=latents.shape[2:], mode="bicubic", antialias=True).clamp(-1, 1)
        share = start * (end / start) ** (k // accumulate / (case["steps"] - 1))
        level = torch.full((BATCH,), level_at(share, low_res_scheduler))
        small = low_res_scheduler.add_noise(small, d["low_res_noise"], level)
        noisy = scheduler.add_noise(latents, d["noise"], t)
        context = text(d["input_ids"]).last_hidden_state
        predicted = unet(torch.cat([noisy, small], dim=1), t, context, class_labels=level).sample
        v = case["prediction_type"] == "v_prediction"
        target = scheduler.get_velocity(latents, d["noise"], t) if v else d["noise"]
        loss = F.mse_loss(predicted, target, reduction="none").mean(dim=(1, 2, 3))
        if "snr_gamma" in case:
            snr = compute_snr(scheduler, t)
            loss = loss * torch.clamp(snr, max=case["snr_gamma"]) / snr
        loss = loss.mean()
        losses.append(loss.item())
        levels.append(int(level[0]))
        (loss / accumulate).backward()
        if (k + 1) % accumulate:
            continue
        norms.append(torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0).item())
        optimizer.step()
        optimizer.zero_grad()
    last = {f"unet.{name}": p.detach() for name, p in unet.named_parameters()}
    return {"losses": losses, "norms": norms, "levels": levels, "first": first, "last": last}


def told(update):
    """Two numbers that tell a tensor: its norm, and its product with cos 1, cos 2, ..."""
    flat = update.double().flatten()
    return flat.norm().item(), (flat * torch.cos(torch.arange(1, len(flat) + 1, dtype=torch.float64))).sum().item()


def significant(x, digits=9):
    return float(f"{x:.{digits}g}")


def run_case(name, steps):
    case = CASES[name]
    run, exact = train(case, steps, torch.float32), train(case, steps, torch.float64)
    updates, uncertain, worst, error_sum, sum_ = {}, [], 0.0, 0.0, 0.0
    for key, value in run["last"].items():
        norm, product = told(value.double() - run["first"][key].double())
        error = (exact["last"][key] - value.double()).norm().item()
        updates[key] = [significant(norm), significant(product)]
        # Gradients that are zero in exact arithmetic: what moves these is rounding.
        if error > 2e-3 * norm:
            uncertain.append(key)
        else:
            error_sum, sum_, worst = error_sum + error**2, sum_ + norm**2, max(worst, error / norm)
    loss_error = max(abs(a - b) for a, b in zip(run["losses"], exact["losses"], strict=True))
    norm_error = max(abs(a / b - 1) for a, b in zip(run["norms"], exact["norms"], strict=True))
    relative = math.sqrt(error_sum / sum_)
    accumulate = case.get("accumulate", 1)
    micro = [
        {"k": k, "level": run["levels"][k], "loss": loss, **({"lr": case["lr"], "grad_norm": run["norms"][k // accumulate]} if (k + 1) % accumulate == 0 else {})}
        for k, loss in enumerate(run["losses"])
    ]
    folder = OUT / name
    write(folder / "args.json", case)
    write(folder / "loss.json", {"micro_steps": micro})
    write(
        folder / "noise.json",
        {
            "what": "the same run in float64: e = norm(float64 - result), u = norm(result - initial), compared as e / u; tolerances are ten times that",
            "relative_error_of_update": relative,
            "worst_tensor": worst,
            "max_loss_difference": loss_error,
            "max_relative_grad_norm_difference": norm_error,
            "uncertain": uncertain,
            "suggested_tolerance": {
                "relative_error_of_update": max(1e-4, 10 * relative),
                "worst_tensor": max(1e-3, 10 * worst),
                "loss_abs": max(2e-5, 10 * loss_error),
                "grad_norm_relative": max(1e-4, 10 * norm_error),
            },
        },
    )
    (folder / "updates.json").write_text("{\n" + ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in updates.items()) + "\n}\n")
    kept = ["unet.conv_in.weight", "unet.class_embedding.weight", "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k.weight", "unet.conv_out.weight"]
    save_file({key: run["last"][key].contiguous() for key in kept}, folder / "result.safetensors")
    print(f"{name}: levels {run['levels']}, update {relative:.1e}, worst {worst:.1e}, uncertain {len(uncertain)} of {len(updates)}, loss {loss_error:.1e}, norm {norm_error:.1e}")


def enlarge():
    """States of samplers that start from given noise, and the pixels at an end."""
    unet, vae, text = parts(torch.float32)
    unet.eval()
    generator = torch.Generator().manual_seed(21)
    small = as_bytes(F.interpolate(pictures(generator, 1), size=(8, 12), mode="bicubic"))
    # What the pipeline draws first is the noise of the small picture.
    noise = torch.randn(small.shape, generator=torch.Generator().manual_seed(4))
    latents = torch.randn((1, 4, 8, 12), generator=generator)
    tensors = {"small": small, "low_res_noise": noise, "latents": latents}
    for name, scheduler in SAMPLERS.items():
        pipe = StableDiffusionUpscalePipeline(
            vae=vae,
            text_encoder=text,
            tokenizer=CLIPTokenizer.from_pretrained(TEXT / "tokenizer"),
            unet=unet,
            low_res_scheduler=DDPMScheduler(**BETAS),
            scheduler=scheduler,
        )
        pipe.set_progress_bar_config(disable=True)
        for level, guidance in [(0, 1.0), (20, 9.0), (LEVELS - 1, 3.0)]:
            states = []
            given = dict(num_inference_steps=6, guidance_scale=guidance, noise_level=level, generator=torch.Generator().manual_seed(4), latents=latents)
            out = pipe("a photo of sks dog", image=small, negative_prompt="the sea", output_type="pt", callback=lambda i, t, x: states.append(x.clone()), **given)
            tensors[f"states.{name}.{level}.{guidance}"] = torch.cat([states[i] for i in KEPT])
            if (name, level) == ("ddim", 20):
                tensors["pixels"] = out.images
    save_file({key: value.contiguous() for key, value in tensors.items()}, OUT / "upscale.safetensors")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf8")


def main():
    write_base()
    steps = draws()
    OUT.mkdir(parents=True, exist_ok=True)
    save_file({f"{k}.{name}": value.contiguous() for k, step in enumerate(steps) for name, value in step.items()}, OUT / "replay.safetensors")
    for name in CASES:
        run_case(name, steps)
    enlarge()
    for path in OUT.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    print(sum(path.stat().st_size for path in OUT.rglob("*") if path.is_file()), "bytes")


if __name__ == "__main__":
    main()
