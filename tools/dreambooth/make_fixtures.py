"""Writes fixtures/dreambooth: runs of diffusers' own DreamBooth script on the tiny model, with what they drew.

    python tools/dreambooth/make_fixtures.py SCRIPT [CASE ...]

SCRIPT: examples/dreambooth/train_dreambooth.py of huggingface/diffusers at 58eb52c0803ea9af3abec60841c2a093bdf1f951 (Apache 2.0). It is run as it is, but for the
changes that a case names under `around` in its args.json.
Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, accelerate 1.15.0, safetensors 0.8.0. Without network.
"""

import json
import math
import os
import shutil
import sys
import tempfile
import types
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch

torch.set_num_threads(1)

from accelerate import Accelerator
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from safetensors.torch import save_file
from transformers import CLIPTextModel

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
BASE = FIXTURES / "goldens" / "tiny-sd"
TRAIN = FIXTURES / "goldens" / "train"

PRIOR = {"with_prior_preservation": True, "class_data_dir": TRAIN / "class_images", "class_prompt": "a photo of a person", "num_class_images": 3}
# `script`: flags of the script. The others: what is changed around it.
CASES = {
    "plain": {"script": {"train_batch_size": 4, "max_train_steps": 5, "learning_rate": 2e-4, "lr_scheduler": "linear"}},
    "text": {
        "script": {**PRIOR, "train_text_encoder": True, "max_train_steps": 4, "learning_rate": 2e-4, "prior_loss_weight": 0.5, "lr_scheduler": "constant"},
        "text_encoder_lr": 1e-3,
    },
    "snr": {
        "script": {**PRIOR, "snr_gamma": 5.0, "offset_noise": True, "max_train_steps": 4, "gradient_accumulation_steps": 2, "learning_rate": 2e-4, "lr_scheduler": "cosine", "lr_warmup_steps": 1},
        "instances_only": True,
    },
}
AROUND = {
    "text_encoder_lr": "the optimizer gets the text encoder's parameters as a group with this rate; the script has one for both",
    "instances_only": "min-SNR takes the timesteps of the instances alone, as train_dreambooth_lora_sd15_advanced.py at the same commit does (lines 1813 to 1818); as it is, the script stops with an error",
}
# Whole tensors that are kept, beside two numbers for each of all.
KEPT = [
    "unet.conv_in.weight",
    "unet.time_embedding.linear_1.bias",
    "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    "unet.mid_block.resnets.0.conv1.bias",
    "unet.up_blocks.3.attentions.0.transformer_blocks.0.norm2.weight",
    "unet.conv_out.weight",
    "text_encoder.text_model.encoder.layers.1.mlp.fc1.weight",
    "text_encoder.text_model.final_layer_norm.weight",
]


def stand_in_for_torchvision():
    """What the script takes from it, for pictures that have their size already."""

    class Same:
        def __init__(self, size, **_):
            self.size = size

        def __call__(self, image):
            assert image.size == (self.size, self.size)
            return image

    transforms = types.ModuleType("torchvision.transforms")
    transforms.Resize = transforms.CenterCrop = transforms.RandomCrop = Same
    transforms.InterpolationMode = types.SimpleNamespace(BILINEAR=None)
    transforms.ToTensor = lambda: lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
    transforms.Normalize = lambda mean, std: lambda x: (x - mean[0]) / std[0]

    def compose(parts):
        def apply(x):
            for part in parts:
                x = part(x)
            return x

        return apply

    transforms.Compose = compose
    package = types.ModuleType("torchvision")
    package.transforms = transforms
    sys.modules["torchvision"] = package
    sys.modules["torchvision.transforms"] = transforms


def load_script(path, case):
    source = Path(path).read_text(encoding="utf8")
    if case.get("instances_only"):
        for before, after in [
            ("snr = compute_snr(noise_scheduler, timesteps)", "snr_timesteps = timesteps.chunk(2)[0]; snr = compute_snr(noise_scheduler, snr_timesteps)"),
            ("args.snr_gamma * torch.ones_like(timesteps)", "args.snr_gamma * torch.ones_like(snr_timesteps)"),
        ]:
            assert source.count(before) == 1
            source = source.replace(before, after)
    script = types.ModuleType("train_dreambooth")
    script.__file__ = str(path)
    sys.modules["train_dreambooth"] = script
    exec(compile(source, str(path), "exec"), script.__dict__)
    return script


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


class Run:
    def __init__(self):
        self.steps = []
        self.losses = []
        self.lr = []
        self.grad_norm = []
        self.models = {}


def named(models):
    """Trained parameters by the names that the project gives them."""
    for root, model in models.items():
        for name, parameter in model.named_parameters():
            # transformers 5 leaves this out.
            prefix = "text_model." if root == "text_encoder" and not name.startswith("text_model.") else ""
            yield f"{root}.{prefix}{name}", parameter


def listen(patches, script, run, case):
    """Records what passes between the script and its libraries. Nothing is changed but what the case says."""
    randn_like, randn, encode, add_noise = torch.randn_like, torch.randn, AutoencoderKL.encode, DDPMScheduler.add_noise
    forward, step = CLIPTextModel.forward, torch.optim.AdamW.step
    plain = {}

    def encode_(self, *args, **kwargs):
        run.steps.append({})
        return encode(self, *args, **kwargs)

    # The noise as it was before the offset.
    def randn_like_(*args, **kwargs):
        plain["noise"] = randn_like(*args, **kwargs)
        return plain["noise"]

    def randn_(*args, **kwargs):
        value = randn(*args, **kwargs)
        if value.ndim == 4 and value.shape[2:] == (1, 1):
            run.steps[-1]["offset_noise"] = value
        return value

    def add_noise_(self, latents, noise, timesteps):
        run.steps[-1].update(latents=latents.detach().clone(), noise=plain["noise"].clone(), timesteps=timesteps.clone())
        return add_noise(self, latents, noise, timesteps)

    def forward_(self, input_ids=None, *args, **kwargs):
        run.steps[-1]["input_ids"] = input_ids.clone()
        return forward(self, input_ids, *args, **kwargs)

    def step_(self, *args, **kwargs):
        run.lr.append([group["lr"] for group in self.param_groups])
        return step(self, *args, **kwargs)

    class Listening(Accelerator):
        def prepare(self, *objects, **kwargs):
            for one in objects:
                for root, kind in (("unet", UNet2DConditionModel), ("text_encoder", CLIPTextModel)):
                    if isinstance(one, kind):
                        run.models[root] = one
            return super().prepare(*objects, **kwargs)

        def backward(self, loss, **kwargs):
            run.losses.append(loss.item())
            super().backward(loss, **kwargs)

        def clip_grad_norm_(self, parameters, most, **kwargs):
            norm = super().clip_grad_norm_(parameters, most, **kwargs)
            run.grad_norm.append(norm.item())
            return norm

    patches.set(AutoencoderKL, "encode", encode_)
    patches.set(torch, "randn_like", randn_like_)
    patches.set(torch, "randn", randn_)
    patches.set(DDPMScheduler, "add_noise", add_noise_)
    patches.set(CLIPTextModel, "forward", forward_)
    patches.set(torch.optim.AdamW, "step", step_)
    patches.set(script, "Accelerator", Listening)
    if "text_encoder_lr" in case:
        adamw, chain = torch.optim.AdamW, script.itertools.chain
        parts = []

        def chain_(*iterables):
            lists = [list(one) for one in iterables]
            parts[:] = lists
            return chain(*lists)

        def grouped(_, lr, **kwargs):
            unet, text = parts
            return adamw([{"params": unet, "lr": lr}, {"params": text, "lr": case["text_encoder_lr"]}], **kwargs)

        patches.set(script, "itertools", types.SimpleNamespace(chain=chain_))
        patches.set(torch.optim, "AdamW", grouped)


def fresh(double=False):
    models = {
        "unet": UNet2DConditionModel.from_pretrained(BASE / "unet"),
        "text_encoder": CLIPTextModel.from_pretrained(BASE / "text_encoder"),
    }
    return {root: (model.double() if double else model).train() for root, model in models.items()}


def repeat_in_float64(run, flags, roots):
    """The same run in float64, from its draws."""
    models = fresh(double=True)
    unet, text = models["unet"], models["text_encoder"]
    groups = [{"params": list(models[root].parameters()), "lr": 1.0} for root in roots]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    scheduler = DDPMScheduler.from_pretrained(BASE / "scheduler")
    alphas = scheduler.alphas_cumprod.double()
    accumulate = flags.get("gradient_accumulation_steps", 1)
    losses, norms = [], []
    for k, drawn in enumerate(run.steps):
        t = drawn["timesteps"]
        noise = drawn["noise"].double() + (0.1 * drawn["offset_noise"].double() if "offset_noise" in drawn else 0)
        a = alphas[t].reshape(-1, 1, 1, 1)
        noisy = a.sqrt() * drawn["latents"].double() + (1 - a).sqrt() * noise
        context = text(drawn["input_ids"]).last_hidden_state
        each = ((unet(noisy, t, context).sample - noise) ** 2).mean(dim=(1, 2, 3))
        prior = flags.get("with_prior_preservation", False)
        own = each.chunk(2)[0] if prior else each
        if "snr_gamma" in flags:
            snr = compute_snr(scheduler, t[: len(own)]).double()
            own = own * torch.clamp(snr, max=flags["snr_gamma"]) / snr
        loss = own.mean() + (flags.get("prior_loss_weight", 1.0) * each.chunk(2)[1].mean() if prior else 0)
        losses.append(loss.item())
        (loss / accumulate).backward()
        if (k + 1) % accumulate:
            continue
        trained = [p for group in groups for p in group["params"]]
        norms.append(torch.nn.utils.clip_grad_norm_(trained, 1.0).item())
        for group, lr in zip(optimizer.param_groups, run.lr[len(norms) - 1], strict=True):
            group["lr"] = lr
        optimizer.step()
        optimizer.zero_grad()
    return {name: value.detach() for name, value in named({root: models[root] for root in roots})}, losses, norms


def told(update):
    """Two numbers that tell a tensor: its norm, and its product with cos 1, cos 2, ..."""
    flat = update.double().flatten()
    return flat.norm().item(), (flat * torch.cos(torch.arange(1, len(flat) + 1, dtype=torch.float64))).sum().item()


def significant(x, digits=9):
    return float(f"{x:.{digits}g}")


def run_case(name, path):
    case = CASES[name]
    flags = {"train_batch_size": 2, "max_train_steps": 4, "lr_warmup_steps": 0, **case["script"]}
    out = tempfile.mkdtemp()
    stand_in_for_torchvision()
    script = load_script(path, case)
    argv = {
        "pretrained_model_name_or_path": BASE,
        "instance_data_dir": TRAIN / "images",
        "instance_prompt": "a photo of xyz mug",
        "resolution": 64,
        "output_dir": out,
        "seed": 70 + list(CASES).index(name),
        "checkpointing_steps": 10**6,
        **flags,
    }
    run = Run()
    with Patches() as patches:
        listen(patches, script, run, case)
        words = [f"--{key}" if value is True else f"--{key}={value}" for key, value in argv.items()]
        script.main(script.parse_args(words))
    shutil.rmtree(out)
    roots = list(run.models)
    initial = dict(named({root: fresh()[root] for root in roots}))
    result = {key: value.detach() for key, value in named(run.models)}
    repeated, losses, norms = repeat_in_float64(run, flags, roots)
    save(name, case, argv, run, initial, result, repeated, losses, norms)


def save(name, case, argv, run, initial, result, repeated, losses, norms):
    folder = FIXTURES / "dreambooth" / name
    folder.mkdir(parents=True, exist_ok=True)
    accumulate = case["script"].get("gradient_accumulation_steps", 1)
    draws = {f"{k}.{key}": value.contiguous() for k, step in enumerate(run.steps) for key, value in step.items()}
    save_file(draws, folder / "replay.safetensors")
    save_file({key: result[key].contiguous() for key in KEPT if key in result}, folder / "result.safetensors")
    updates, uncertain, worst = {}, [], 0.0
    total_error = total = 0.0
    for key, value in result.items():
        moved = value.double() - initial[key].detach().double()
        error = (repeated[key] - value.double()).norm().item()
        norm, product = told(moved)
        total_error += error**2
        total += norm**2
        updates[key] = [significant(norm), significant(product)]
        # Gradients that are zero in exact arithmetic: what moves these is rounding.
        if error > 2e-3 * norm:
            uncertain.append(key)
        else:
            worst = max(worst, error / norm if norm else 0.0)
    loss_error = max(abs(a - b) for a, b in zip(losses, run.losses, strict=True))
    norm_error = max(abs(a - b) / b for a, b in zip(norms, run.grad_norm, strict=True))
    relative = math.sqrt(total_error / total)
    noise = {
        "what": "the same run repeated in float64 from the recorded draws: e = norm(float64 - result), u = norm(result - initial), compared as e / u; tolerances are ten times that",
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
    }
    micro = []
    for k, loss in enumerate(run.losses):
        ends = (k + 1) % accumulate == 0
        n = k // accumulate
        micro.append({"k": k, "loss": loss, **({"lr": run.lr[n], "grad_norm": run.grad_norm[n]} if ends else {})})
    args = {
        "script": "huggingface/diffusers@58eb52c examples/dreambooth/train_dreambooth.py",
        "script_args": {key: value for key, value in argv.items() if not isinstance(value, Path) and key not in ("output_dir", "checkpointing_steps")},
        "around": {key: [case[key], AROUND[key]] for key in AROUND if key in case},
        "trained": sorted({key.split(".")[0] for key in result}),
    }
    for file, value in {"args": args, "loss": {"micro_steps": micro}, "noise": noise}.items():
        write(folder / f"{file}.json", json.dumps(value, indent=1) + "\n")
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in updates.items())
    write(folder / "updates.json", "{\n" + lines + "\n}\n")
    for path in folder.iterdir():
        path.chmod(0o644)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{name}: update {relative:.1e}, worst {worst:.1e}, uncertain {len(uncertain)}, loss {loss_error:.1e}, norm {norm_error:.1e}, {len(updates)} tensors, {size} bytes", flush=True)


def write(path, text):
    path.write_text(text, encoding="utf8")


def main():
    path, *names = sys.argv[1:]
    for name in names or CASES:
        run_case(name, path)


if __name__ == "__main__":
    main()
