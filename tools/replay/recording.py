"""Runs of reference programs as fixtures/replay holds them: what a run drew and gave, and how far rounding may lead away from it.

Used by make_diffusers.py and make_a1111.py, which name the versions.
"""

import json
import sys
import types
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
BASES = {"tiny-sd": FIXTURES / "goldens" / "tiny-sd", "sd2-base": FIXTURES / "replay" / "sd2-base"}
IMAGES = FIXTURES / "goldens" / "train" / "images"


def stand_in_for_torchvision():
    """Both trainers take nothing but the flip from it."""

    class RandomHorizontalFlip:
        def __init__(self, p):
            self.p = p

        def __call__(self, image):
            return image.transpose(0) if torch.rand(()) < self.p else image

    package = types.ModuleType("torchvision")
    package.transforms = types.ModuleType("torchvision.transforms")
    package.transforms.RandomHorizontalFlip = RandomHorizontalFlip
    sys.modules["torchvision"] = package
    sys.modules["torchvision.transforms"] = package.transforms


class Run:
    """What a run drew and gave. Lists have an entry for each micro-step; `lr` and `grad_norm` one for each optimizer step."""

    def __init__(self, base, accumulate=1):
        self.base = base
        self.accumulate = accumulate
        self.steps = []
        self.losses = []
        self.prompts = []
        self.lr = []
        self.grad_norm = []
        self.clip = []

    def add(self, **tensors):
        """Adds to the present micro-step, which `noise` begins or ends nowhere: the caller says `next`."""
        self.steps[-1].update({name: value.detach().clone().contiguous() for name, value in tensors.items()})

    def next(self):
        self.steps.append({})


class GrownEmbedding(torch.nn.Module):
    """A table of which only the rows at its end are trained."""

    def __init__(self, table, rows):
        super().__init__()
        self.table = table.detach()
        self.rows = torch.nn.Parameter(rows.clone())

    def forward(self, ids):
        return F.embedding(ids, torch.cat([self.table, self.rows]))


def set_rows(text, rows):
    embeddings = getattr(text, "text_model", text).embeddings
    embeddings.token_embedding = GrownEmbedding(embeddings.token_embedding.weight, rows)
    return embeddings.token_embedding.rows


def float64_schedule(folder):
    """alphas_cumprod as CompVis' code computes them, before they are stored as float32."""
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    steps = config["num_train_timesteps"]
    betas = np.linspace(config["beta_start"] ** 0.5, config["beta_end"] ** 0.5, steps, dtype=np.float64) ** 2
    return torch.from_numpy(np.cumprod(1 - betas))


def repeat_in_float64(run, rows, optimizer, clip_mode=None, clip_skip=1, webui=False):
    """The same run in float64, from its draws: the rows, losses and norms that it ends with."""
    folder = BASES[run.base]
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").double().requires_grad_(False)
    vae = AutoencoderKL.from_pretrained(folder / "vae").double().requires_grad_(False)
    text = CLIPTextModel.from_pretrained(folder / "text_encoder").double().requires_grad_(False)
    schedule = DDPMScheduler.from_pretrained(folder / "scheduler")
    alphas = float64_schedule(folder) if webui else schedule.alphas_cumprod.double()
    signal, noisy = alphas**0.5, (1 - alphas) ** 0.5
    if webui:
        signal, noisy = signal.float().double(), noisy.float().double()
    rows = set_rows(text, rows.double())
    adamw = torch.optim.AdamW([rows], lr=1.0, **optimizer)
    losses, norms = [], []
    for k, step in enumerate(run.steps):
        step = {name: value.double() if value.is_floating_point() else value for name, value in step.items()}
        latents = step.get("latents")
        if latents is None:
            posterior = vae.encode(step["pixel_values"]).latent_dist
            latents = (posterior.mean + posterior.std * step["posterior_noise"]) * vae.config.scaling_factor
        t, noise = step["timesteps"], step["noise"]
        a, s = signal[t].reshape(-1, 1, 1, 1), noisy[t].reshape(-1, 1, 1, 1)
        hidden = text(step["input_ids"], output_hidden_states=True)
        context = hidden.last_hidden_state
        if clip_skip > 1:
            context = getattr(text, "text_model", text).final_layer_norm(hidden.hidden_states[-clip_skip])
        if "multipliers" in step:
            # A1111 modules/sd_emphasis.py, EmphasisOriginal.
            scaled = context * step["multipliers"].unsqueeze(-1)
            context = scaled * (context.mean() / scaled.mean())
        out = unet(a * latents + s * noise, t, context).sample
        target = noise if schedule.config.prediction_type == "epsilon" else a * noise - s * latents
        loss = ((out - target) ** 2 * step.get("weight", 1.0)).mean()
        losses.append(loss.item())
        (loss / run.accumulate).backward()
        if (k + 1) % run.accumulate:
            continue
        n = len(norms)
        norms.append(rows.grad.norm().item())
        if clip_mode == "norm":
            torch.nn.utils.clip_grad_norm_([rows], run.clip[n])
        elif clip_mode == "value":
            torch.nn.utils.clip_grad_value_([rows], run.clip[n])
        adamw.param_groups[0]["lr"] = run.lr[n]
        adamw.step()
        adamw.zero_grad()
    return rows.detach(), losses, norms


def save(name, run, args, initial, result, repeated, extra=None):
    """Writes a case. `extra`: tensors of every micro-step that a replay must leave alone."""
    folder = FIXTURES / "replay" / name
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for k, step in enumerate(run.steps):
        tensors |= {f"{k}.{key}": value for key, value in step.items()}
        tensors |= {f"{k}.{key}": value for key, value in (extra or {}).items()}
    # A file's tensors may not share memory.
    tensors = {key: value.clone() for key, value in tensors.items()}
    save_file(tensors, folder / "replay.safetensors")
    save_file({"vectors": result.contiguous()}, folder / "result.safetensors")
    save_file({"vectors": initial.contiguous()}, folder / "initial.safetensors")
    micro = []
    for k, loss in enumerate(run.losses):
        n = k // run.accumulate
        ends = (k + 1) % run.accumulate == 0
        micro.append(
            {
                "k": k,
                "loss": loss,
                "prompts": run.prompts[k],
                "optimizer_step": ends,
                **({"lr": run.lr[n], "grad_norm": run.grad_norm[n]} if ends else {}),
            }
        )
    write_json(folder / "loss.json", {"micro_steps": micro})
    write_json(folder / "args.json", {**args, "base_model": run.base, "accumulate": run.accumulate, "micro_steps": len(micro)})
    rows, losses, norms = repeated
    update = result.double() - initial.double()
    error = ((rows - result.double()) ** 2).mean().sqrt().item()
    moved = (update**2).mean().sqrt().item()
    loss_error = max(abs(a - b) for a, b in zip(losses, run.losses, strict=True))
    norm_error = max(abs(a - b) / b for a, b in zip(norms, run.grad_norm, strict=True))
    noise = {
        "what": "the same run repeated in float64 from the recorded draws: e = rms(float64 - result), u = rms(result - initial), compared as e / u",
        "relative_error_of_update": error / moved,
        "max_loss_difference": loss_error,
        "max_relative_grad_norm_difference": norm_error,
        "update_rms": moved,
        "suggested_tolerance": {
            "relative_error_of_update": max(1e-4, 10 * error / moved),
            "loss_abs": max(2e-5, 10 * loss_error),
            "grad_norm_relative": max(1e-4, 10 * norm_error),
        },
    }
    write_json(folder / "noise.json", noise)
    for path in folder.iterdir():
        path.chmod(0o644)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{name}: update {error / moved:.1e}, loss {loss_error:.1e}, norm {norm_error:.1e}, moved {moved:.1e}, {size} bytes", flush=True)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf8")
