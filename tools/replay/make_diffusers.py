"""Writes fixtures/replay/ti-*: runs of diffusers' own Textual Inversion script, with what they drew.

    python tools/replay/make_diffusers.py SCRIPT [CASE ...]

SCRIPT: examples/textual_inversion/textual_inversion.py of huggingface/diffusers at 58eb52c0803ea9af3abec60841c2a093bdf1f951 (Apache 2.0); it is run as it is.
Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, accelerate 1.15.0, safetensors 0.8.0. Without network.

What is put around the script, and why, stands in each case's args.json under `around`. Pictures go through its VAE once; where a record holds `latents` they are what
came out, sampled and scaled.
"""

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch

torch.set_num_threads(1)

import recording
from recording import BASES, IMAGES, Run, repeat_in_float64, save

recording.stand_in_for_torchvision()

import diffusers.models.autoencoders.vae as vae_module
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from diffusers import AutoencoderKL, DDPMScheduler
from safetensors.torch import load_file
from transformers import CLIPTextModel

SETTINGS = {"learning_rate": 2e-3, "lr_scheduler": "constant", "lr_warmup_steps": 0, "train_batch_size": 2, "max_train_steps": 5, "initializer_token": "cup"}
# `script`: flags of the script. `power`, `clip`, `size`: what is put around it.
CASES = {
    "ti-cosine": {"script": {"num_vectors": 3, "train_batch_size": 3, "lr_scheduler": "cosine", "lr_warmup_steps": 2, "max_train_steps": 5, "learnable_property": "style"}},
    "ti-accumulate": {"script": {"gradient_accumulation_steps": 2, "max_train_steps": 3, "lr_scheduler": "linear"}},
    "ti-oblong": {"script": {"train_batch_size": 1, "num_vectors": 2, "learning_rate": 5e-3}, "size": [40, 64]},
    "ti-sd2": {"base": "sd2-base", "script": {"num_vectors": 2, "initializer_token": "man", "lr_scheduler": "cosine_with_restarts", "lr_num_cycles": 2, "max_train_steps": 6}},
    "ti-decay": {"base": "sd2-base", "script": {"initializer_token": "art", "adam_weight_decay": 0.1, "adam_beta1": 0.8, "adam_beta2": 0.95, "adam_epsilon": 1e-4, "learning_rate": 2e-2}},
    "ti-polynomial": {"base": "sd2-base", "script": {"initializer_token": "time", "lr_scheduler": "polynomial", "num_vectors": 2, "lr_warmup_steps": 1}, "power": 2.0, "clip": 0.003},
}


def load_script(path):
    spec = importlib.util.spec_from_file_location("textual_inversion", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Patches:
    def __init__(self):
        self.undo = []

    def set(self, owner, name, value):
        self.undo.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for owner, name, value in reversed(self.undo):
            setattr(owner, name, value)


def listen(patches, script, run, case, rows_of):
    """Records what passes between the script and its libraries. Nothing is changed but what the case says."""
    texts = []
    with_pixels = "size" in case

    class Tokenizer:
        def __init__(self, wrapped):
            self.wrapped = wrapped
            self.model_max_length = wrapped.model_max_length

        def __call__(self, text, **options):
            texts.append(text)
            return self.wrapped(text, **options)

    class Dataset(script.TextualInversionDataset):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.tokenizer = Tokenizer(self.tokenizer)

        def __getitem__(self, i):
            example = super().__getitem__(i)
            if with_pixels:
                h, w = case["size"]
                example["pixel_values"] = example["pixel_values"][:, :h, :w]
            return example

    patches.set(script, "TextualInversionDataset", Dataset)

    class Listening(Accelerator):
        def backward(self, loss, **kwargs):
            run.losses.append(loss.item())
            super().backward(loss, **kwargs)
            if not self.sync_gradients:
                return
            weight, ids = rows_of()
            run.grad_norm.append(weight.grad[ids].norm().item())
            if "clip" in case:
                # The table's other rows are put back after each step; their gradients must not count either.
                frozen = torch.ones(len(weight), dtype=torch.bool)
                frozen[ids] = False
                weight.grad[frozen] = 0
                run.clip.append(case["clip"])
                self.clip_grad_norm_([weight], case["clip"])

    patches.set(script, "Accelerator", Listening)

    encode = AutoencoderKL.encode
    randn = vae_module.randn_tensor
    forward = CLIPTextModel.forward
    add_noise = DDPMScheduler.add_noise
    step = torch.optim.AdamW.step

    def encode_(self, x, *args, **kwargs):
        run.next()
        if with_pixels:
            run.add(pixel_values=x)
        return encode(self, x, *args, **kwargs)

    def randn_(*args, **kwargs):
        noise = randn(*args, **kwargs)
        if with_pixels:
            run.add(posterior_noise=noise)
        return noise

    def add_noise_(self, latents, noise, timesteps):
        if not with_pixels:
            run.add(latents=latents)
        run.add(noise=noise, timesteps=timesteps)
        return add_noise(self, latents, noise, timesteps)

    def forward_(self, input_ids=None, *args, **kwargs):
        size = len(input_ids)
        at = sum(map(len, run.prompts))
        run.prompts.append(texts[at : at + size])
        run.add(input_ids=input_ids)
        return forward(self, input_ids, *args, **kwargs)

    def step_(self, *args, **kwargs):
        run.lr.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)

    patches.set(AutoencoderKL, "encode", encode_)
    patches.set(vae_module, "randn_tensor", randn_)
    patches.set(DDPMScheduler, "add_noise", add_noise_)
    patches.set(CLIPTextModel, "forward", forward_)
    patches.set(torch.optim.AdamW, "step", step_)
    if "power" in case:
        scheduler = script.get_scheduler
        patches.set(script, "get_scheduler", lambda *args, **kwargs: scheduler(*args, **kwargs, power=case["power"]))


AROUND = {
    "size": "the prepared 64x64 pictures are cropped to [height, width]: the script's own are always square",
    "power": "get_scheduler is called with this power; the script has no flag for it",
    "clip": "accelerator.clip_grad_norm_ before the optimizer's step, as diffusers' other scripts have it, with the gradients of the rows that are not trained set to 0",
}


def run_case(name, path):
    case = CASES[name]
    base = case.get("base", "tiny-sd")
    flags = {**SETTINGS, **case["script"]}
    run = Run(base, flags.get("gradient_accumulation_steps", 1))
    token = "<thing>"
    out = tempfile.mkdtemp()
    for singleton in (AcceleratorState, PartialState, GradientState):
        singleton._reset_state()
    script = load_script(path)
    argv = {
        "pretrained_model_name_or_path": BASES[base],
        "train_data_dir": IMAGES,
        "placeholder_token": token,
        "resolution": 64,
        "repeats": 6,
        "output_dir": out,
        "seed": 100 + list(CASES).index(name),
        "save_steps": 10**6,
        "checkpointing_steps": 10**6,
        **flags,
    }
    held = {}
    grow = CLIPTextModel.resize_token_embeddings

    def grow_(self, size, *args, **kwargs):
        before = self.get_input_embeddings().weight.shape[0]
        grown = grow(self, size, *args, **kwargs)
        held["model"], held["ids"] = self, list(range(before, size))
        return grown

    def rows_of():
        return held["model"].get_input_embeddings().weight, held["ids"]

    with Patches() as patches:
        listen(patches, script, run, case, rows_of)
        patches.set(CLIPTextModel, "resize_token_embeddings", grow_)
        patches.set(sys, "argv", ["textual_inversion.py", *(f"--{key}={value}" for key, value in argv.items())])
        script.main()
    learned = load_file(Path(out) / "learned_embeds.safetensors")[token]
    shutil.rmtree(out)
    table = CLIPTextModel.from_pretrained(BASES[base] / "text_encoder").get_input_embeddings().weight.detach()
    tokenizer_ids = held["ids"]
    word = script.CLIPTokenizer.from_pretrained(BASES[base] / "tokenizer").encode(flags["initializer_token"], add_special_tokens=False)
    initial = table[word].repeat(len(tokenizer_ids), 1)
    optimizer = {
        "betas": (flags.get("adam_beta1", 0.9), flags.get("adam_beta2", 0.999)),
        "eps": flags.get("adam_epsilon", 1e-8),
        "weight_decay": flags.get("adam_weight_decay", 1e-2),
    }
    repeated = repeat_in_float64(run, initial, optimizer, "norm" if "clip" in case else None)
    args = {
        "script": "huggingface/diffusers@58eb52c examples/textual_inversion/textual_inversion.py",
        "script_args": {key: value for key, value in argv.items() if key not in ("pretrained_model_name_or_path", "train_data_dir", "output_dir", "save_steps", "checkpointing_steps")},
        "around": {key: [case[key], AROUND[key]] for key in AROUND if key in case},
        "optimizer": optimizer,
        "placeholder_token_ids": tokenizer_ids,
        "initializer_token_id": word[0],
    }
    save(name, run, args, initial, learned, repeated)


def main():
    path, *names = sys.argv[1:]
    for name in names or CASES:
        run_case(name, path)


if __name__ == "__main__":
    main()
