"""Loads whole models that sdft saved after full fine-tuning with diffusers and torch, and draws the same pictures.

    node --conditions=@sdft/source tools/full/write_samples.ts FOLDER
    python tools/full/check_written.py FOLDER [CKPT SAFETENSORS]

CKPT, SAFETENSORS: a further .ckpt with its .safetensors, for files of more than 4 GB (sdft init sd21 --out sd21; sdft convert sd21 sd21.ckpt; sdft convert sd21 sd21.safetensors).

Ran with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.0. Without network.
"""

import os
import sys
import zipfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file

FOLDER = Path(sys.argv[1])
FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
START = load_file(FIXTURES / "embeddings" / "start.safetensors")["latents"]
OURS = load_file(FOLDER / "latents.safetensors")["latents"]
failures = 0


def check(text, holds):
    global failures
    failures += not holds
    print("ok" if holds else "FAILED", text)


def latents(pipe):
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    n = len(START)
    return pipe(["a drawing of a dog"] * n, negative_prompt=["blurry"] * n, latents=START, num_inference_steps=10, guidance_scale=7.5, output_type="latent").images


def same_tensors(ckpt, safetensors):
    state = torch.load(ckpt, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    with safe_open(safetensors, "pt") as other:
        names = set(other.keys())
        equal = names == set(state) and all(torch.equal(state[name], other.get_tensor(name)) for name in names)
    size = Path(ckpt).stat().st_size
    check(f"{Path(ckpt).name}: torch.load(weights_only=True) reads {len(names)} tensors of {size / 1e9:.2f} GB, to the bit those of {Path(safetensors).name}", equal)
    with zipfile.ZipFile(ckpt) as archive:
        check(f"{Path(ckpt).name}: zipfile reads it, every member's CRC is right", archive.testzip() is None)


base = latents(StableDiffusionPipeline.from_pretrained(FIXTURES / "goldens" / "tiny-sd", torch_dtype=torch.float32, safety_checker=None))
moved = (OURS - base).abs().max().item()
single = lambda path: StableDiffusionPipeline.from_single_file(path, config=str(FOLDER / "folder"), torch_dtype=torch.float32, safety_checker=None, local_files_only=True)  # noqa: E731
loaders = {
    "folder": lambda path: StableDiffusionPipeline.from_pretrained(path, torch_dtype=torch.float32, safety_checker=None),
    "one.safetensors": single,
    "two.ckpt": single,
}
for name, load in loaders.items():
    found = latents(load(str(FOLDER / name)))
    off = (found - OURS).abs().max().item()
    check(f"{name}: final latents of the run's own pictures and of diffusers' differ by at most {off:.1e} (before training by {moved:.1e}; they reach {OURS.abs().max().item():.1f})", off <= 1e-3 and moved > 0.1)
same_tensors(FOLDER / "two.ckpt", FOLDER / "one.safetensors")
if len(sys.argv) > 3:
    same_tensors(sys.argv[2], sys.argv[3])
sys.exit(1 if failures else 0)
