"""The other side: the same training step in PyTorch, with diffusers' U-Net and transformers' text encoder.

python textual_inversion.py TASK     a line on stdin is a step; its result goes to stdout as a line of JSON
Tested with torch 2.15, diffusers 0.42.1, transformers 5.23.
"""

import json
import platform
import sys
import time

import torch
import torch.nn.functional as F
import diffusers
import transformers
from diffusers import DDPMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextModel


class WithNewRow(torch.nn.Module):
    """The frozen vocabulary, and one trained row after its end: updating that row alone, not a copy of the whole table."""

    def __init__(self, table, row):
        super().__init__()
        self.table, self.row = table, row

    def forward(self, ids):
        size = self.table.num_embeddings
        known = self.table(ids.clamp(max=size - 1))
        return torch.where((ids == size).unsqueeze(-1), self.row, known)


def say(value):
    print(json.dumps(value), flush=True)


def main(task):
    torch.set_num_threads(task["threads"])
    path = task["checkpoint"]
    unet = UNet2DConditionModel.from_pretrained(path, subfolder="unet", low_cpu_mem_usage=True)
    unet.requires_grad_(False)
    scheduler = DDPMScheduler.from_pretrained(path, subfolder="scheduler")
    record = load_file(task["record"])
    (start,) = load_file(task["start"]).values()
    row = torch.nn.Parameter(start.clone())
    text_encoder = CLIPTextModel.from_pretrained(path, subfolder="text_encoder")
    text_encoder.requires_grad_(False)
    text_encoder.set_input_embeddings(WithNewRow(text_encoder.get_input_embeddings(), row))
    optimizer = torch.optim.AdamW([row], lr=task["lr"])
    say(
        {
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "diffusers": diffusers.__version__,
                "transformers": transformers.__version__,
                "torch threads": str(torch.get_num_threads()),
                "torch CPU capability": torch.backends.cpu.get_cpu_capability(),
            }
        }
    )

    for k, _ in enumerate(sys.stdin):
        latents, noise, timesteps, ids = (
            record[f"{k}.{name}"] for name in ("latents", "noise", "timesteps", "input_ids")
        )
        began = time.perf_counter()
        context = text_encoder(ids)[0]
        noisy = scheduler.add_noise(latents, noise, timesteps)
        found = unet(noisy, timesteps, context).sample
        loss = F.mse_loss(found, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        value = loss.item()
        seconds = time.perf_counter() - began
        moment = optimizer.state[row]["exp_avg"]
        say({"seconds": seconds, "loss": value, "moment": moment[0].tolist(), "row": row[0].tolist()})


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
