"""PyTorch's side on a GPU: python theirs.py TASK. The same training step with diffusers' U-Net, the same weights and inputs.

Tested with torch 2.11 and 2.15, diffusers 0.42.1, peft 0.21. A line of JSON on stdout.
"""

import contextlib
import json
import platform
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
import diffusers
from diffusers import DDPMScheduler, UNet2DConditionModel

LR, TOKENS = 1e-5, 77
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CONFIGS = {
    "sd15": dict(cross_attention_dim=768, attention_head_dim=8, block_out_channels=(320, 640, 1280, 1280)),
    "tiny": dict(cross_attention_dim=12, attention_head_dim=8, block_out_channels=(16, 16, 32, 32), norm_num_groups=8),
}


def seed_of(name):
    value = 0x811C9DC5
    for letter in name.encode():
        value = ((value ^ letter) * 0x01000193) & 0xFFFFFFFF
    return value


def hashed(name, shape, scale):
    """As numbers.ts has it; 64-bit integers whose lower halves are kept."""
    x = torch.arange(int(np.prod(shape)), device=DEVICE) + seed_of(name)
    low = 0xFFFFFFFF
    x = ((x & low) * 0x9E3779B1) & low
    x = ((x ^ (x >> 15)) * 0x85EBCA77) & low
    x ^= x >> 13
    x = torch.where(x >= 2**31, x - 2**32, x) >> 8
    return (x.double() * (scale / 2**23)).float().reshape(shape)


def weight_of(name, shape):
    if len(shape) == 1:
        return torch.full(shape, 0.0 if name.endswith(".bias") else 1.0, device=DEVICE)
    return hashed(name, shape, float(np.sqrt(3 / (np.prod(shape) / shape[0]))))


def main(task):
    began = time.perf_counter()
    precision, batch, side = task["precision"], task["batch"], task["latents"]
    device = DEVICE
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    config = CONFIGS[task["model"]]
    with torch.device(device):
        unet = UNet2DConditionModel(sample_size=side, **config)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            parameter.copy_(weight_of(name, tuple(parameter.shape)))
    if task["method"] == "lora":
        from peft import LoraConfig

        unet.requires_grad_(False)
        unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
        with torch.no_grad():
            for name, parameter in unet.named_parameters():
                if "lora_A" in name:
                    layer = name.split(".lora_A")[0]
                    parameter.copy_(weight_of(f"{layer}.down", tuple(parameter.shape)))
    trained = [p for p in unet.parameters() if p.requires_grad]
    unet.train()
    optimizer = torch.optim.AdamW(trained, lr=LR)
    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    root3 = float(np.sqrt(3))
    latents = hashed("latents", (batch, 4, side, side), root3).cpu()
    noise = hashed("noise", (batch, 4, side, side), root3).cpu()
    context = hashed("context", (batch, TOKENS, config["cross_attention_dim"]), root3).cpu()
    timesteps = torch.tensor([(i * 379 + 101) % 1000 for i in range(batch)])
    half = {"bf16": torch.bfloat16, "f16": torch.float16}.get(precision)
    cast = torch.autocast(device, dtype=half) if half else contextlib.nullcontext()
    scaler = torch.amp.GradScaler(device, enabled=precision == "f16")

    def step():
        x0, eps, t, states = (a.to(device) for a in (latents, noise, timesteps, context))
        noisy = schedule.add_noise(x0, eps, t)
        with cast:
            found = unet(noisy, t, states).sample
        loss = F.mse_loss(found.float(), eps)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.item()

    losses = [step()]
    first = time.perf_counter() - began
    losses += [step() for _ in range(task["warmUp"] - 1)]
    seconds = []
    for _ in range(task["steps"]):
        start = time.perf_counter()
        losses.append(step())
        seconds.append(time.perf_counter() - start)
    print(
        json.dumps(
            {
                "task": task,
                "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
                "versions": {"python": platform.python_version(), "torch": torch.__version__, "diffusers": diffusers.__version__},
                "firstStep": first,
                "seconds": seconds,
                "losses": losses,
                "memory": torch.cuda.max_memory_allocated() if device == "cuda" else 0,
            }
        )
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
