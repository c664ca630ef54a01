"""Loads files written by write_samples.ts with the programs that they are meant for, and says whether pictures begin alike.

    node --conditions=@sdft/source tools/lora/write_samples.ts FOLDER
    python tools/lora/check_files.py FOLDER SD_SCRIPTS

SD_SCRIPTS: kohya-ss/sd-scripts at 48d368f. What a file is meant for is told by its keys: diffusers' load_lora_weights for its own layout and for kohya's where it holds
LoRA, networks/lora.py for kohya's, lycoris.kohya for LyCORIS' algorithms. Where ten steps of DDIM end is held against fixtures/lora/latents.safetensors.
Ran with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, peft 0.21.2, lycoris-lora 4.1.3. Without network.
"""

import hashlib
import os
import sys
import types
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
LATENTS = load_file(FIXTURES / "lora" / "latents.safetensors")
folder, scripts = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, scripts)
sys.modules["library.sdxl_original_unet"] = types.ModuleType("sdxl")
sys.modules["library.sdxl_original_unet"].SdxlUNet2DConditionModel = type("Nothing", (), {})
sys.modules["library.utils"] = types.ModuleType("utils")
sys.modules["library.utils"].setup_logging = lambda *_, **__: None
from lycoris import kohya as lycoris
from lycoris.config import PRESET
from lycoris.modules.ia3 import IA3Module
from networks import lora as networks

# What it makes before it looks at the file: with its default it stumbles over diffusers' time embedding, which it meets twice.
lycoris.LycorisNetworkKohya.apply_preset(PRESET["attn-mlp"])



def ia3_module(cls, name, layer, weight, on_input):
    made = cls(name, layer, 1, train_on_input=bool(on_input))
    made.weight.data.copy_(weight)
    return made


# LyCORIS 4.1.3 calls its own with both tensors of a file, and it takes one.
IA3Module.make_module_from_state_dict = classmethod(ia3_module)
failed = 0


def pipeline():
    pipe = StableDiffusionPipeline.from_pretrained(FIXTURES / "goldens" / "tiny-sd", safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    return pipe


def ends(pipe):
    with torch.no_grad():
        return pipe("a photo of a cup", negative_prompt="", latents=LATENTS["start"], num_inference_steps=10, guidance_scale=7.5, output_type="latent").images


class WithTextModel(torch.nn.Module):
    """Newer transformers have no `text_model` inside, by which kohya's and LyCORIS' keys go."""

    def __init__(self, text):
        super().__init__()
        self.text_model = text


def told(name, path, how, pipe):
    global failed
    off = (ends(pipe) - LATENTS[name]).abs().max().item()
    moved = (LATENTS["base"] - LATENTS[name]).abs().max().item()
    ok = off <= 1e-3 and moved > 1e-2
    failed += not ok
    print("ok  " if ok else "FAIL", f"{path.name}: {how}: {off:.1e} from what is expected, which is {moved:.2f} from the base", flush=True)


def with_diffusers(name, path):
    pipe = pipeline()
    pipe.load_lora_weights(str(path))
    told(name, path, "load_lora_weights", pipe)


def with_kohyas(name, path, program, how):
    pipe = pipeline()
    text = pipe.text_encoder if hasattr(pipe.text_encoder, "text_model") else WithTextModel(pipe.text_encoder)
    with torch.no_grad():
        network, weights = program.create_network_from_weights(1.0, str(path), None, text, pipe.unet)
    has_text = any(key.startswith("lora_te") for key in weights)
    network.apply_to(text, pipe.unet, has_text, True)
    info = network.load_state_dict(weights, False)
    assert not info.unexpected_keys, info
    network.eval()
    told(name, path, how, pipe)


# LyCORIS 4.1.3 takes the rank of LoKr with a core from the wrong axis, and cannot load what it has saved itself.
UNREADABLE = ["lycoris-lokr-core"]


def same_as_theirs(name, path):
    global failed
    ours, theirs = load_file(path), load_file(FIXTURES / "lora" / f"{name}.result.safetensors")
    ok = ours.keys() == theirs.keys() and all(torch.equal(ours[key].float(), theirs[key].float()) for key in theirs)
    failed += not ok
    print("ok  " if ok else "FAIL", f"{path.name}: the tensors that LyCORIS writes, by its names", flush=True)


def check_hashes(path):
    global failed
    with safe_open(path, "pt") as opened:
        metadata = opened.metadata()
    data = path.read_bytes()
    header = int.from_bytes(data[:8], "little")
    ok = metadata["sshs_model_hash"] == hashlib.sha256(data[8 + header :]).hexdigest() and not any("/" in value for key, value in metadata.items() if key.startswith("ss_"))
    failed += not ok
    if not ok:
        print("FAIL", path.name, metadata)


for path in sorted(folder.glob("*.safetensors")):
    name = path.name.split(".")[0]
    keys = list(load_file(path))
    if keys[0].startswith("lora_"):
        check_hashes(path)
        plain = all(key.endswith((".alpha", "lora_down.weight", "lora_up.weight")) for key in keys)
        program, how = (networks, "networks/lora.py") if plain else (lycoris, "lycoris.kohya")
        if name in UNREADABLE:
            same_as_theirs(name, path)
        else:
            with_kohyas(name, path, program, how)
        # diffusers tells kohya's keys of a text encoder by its output projections, which these few layers have not.
        if plain and not any(key.startswith("lora_te") for key in keys):
            with_diffusers(name, path)
    else:
        with_diffusers(name, path)
print(f"{failed} failed")
sys.exit(1 if failed else 0)
