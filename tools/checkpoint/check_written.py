"""Loads files written by write_samples.ts with the programs that they are meant for, and compares.

    node --conditions=@sdft/source tools/checkpoint/write_samples.ts FOLDER
    python tools/checkpoint/check_written.py FOLDER

Ran with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.0. Without network.
"""

import collections
import os
import re
import sys
import zipfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

FOLDER = Path(sys.argv[1])
GOLDENS = Path(__file__).resolve().parents[2] / "fixtures" / "goldens" / "train"
# AUTOMATIC1111 v1.10.1 modules/safe.py refuses a zip with any other member.
MEMBERS = re.compile(r"^([^/]+)/((data/\d+)|version|byteorder|(\.data/serialization_id)|(data\.pkl))$")


def same(a, b):
    """Equal values; whole floats may have become ints on the way through plain numbers."""
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a) and getattr(a, "_metadata", None) == getattr(b, "_metadata", None)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return a == b


def check(what, ok):
    print("ok  " if ok else "FAIL", what)
    if not ok:
        sys.exit(1)


def load_pt(name):
    with zipfile.ZipFile(FOLDER / name) as z:
        check(f"{name}: members, checksums", z.testzip() is None and all(MEMBERS.match(n) for n in z.namelist()))
    return torch.load(FOLDER / name, weights_only=True)


t = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
value = load_pt("everything.pt")
expected = {
    768: (collections.OrderedDict([("linear.0.weight", t), ("again", t)]), collections.OrderedDict()),
    "layer_structure": [1.0, 2.0, 1.0],
    "ints": [0, 255, 256, 65535, 65536, -1, -(2**31), 2**31, 2**53 - 1, 2**70, -(2**70), -128, 128, -129],
    "texts": ["", "h\u00e9 \U0001f600"],
    "tuples": [(), (1,), (1, 2, 3, 4)],
    "flags": [True, False, None, 0.5],
    "scalar": torch.tensor(265),
    "half": torch.tensor([1.0, -2.0], dtype=torch.float16),
    "brain": torch.tensor([1.0], dtype=torch.bfloat16),
    "empty": torch.zeros(0, 4),
}
expected[768][0]._metadata = collections.OrderedDict([("", {"version": 1})])
check("everything.pt: values", same(value, expected) and all(type(x) is float for x in value["layer_structure"]))
check("everything.pt: one storage for a tensor that occurs twice", value[768][0]["again"].data_ptr() == value[768][0]["linear.0.weight"].data_ptr())
for name in ["hn_linear/result.pt", "hn_tanh_ln/result.pt", "ti_a1111/result.pt", "kohya_lora/result.pt"]:
    check(f"{name}: as the original", same(load_pt(name.replace("/", "-")), torch.load(GOLDENS / name, weights_only=True)))


def weights(pipe):
    return {
        f"{part}.{k.removeprefix('text_model.')}": v
        for part in ("unet", "vae", "text_encoder")
        for k, v in getattr(pipe, part).state_dict().items()
        if "position_ids" not in k
    }


for name, dtype in [(n + s, d) for n in ("sd1", "sd2") for s, d in (("", torch.float32), ("-f16", torch.float16), ("-bf16", torch.bfloat16))]:
    folder = FOLDER / name
    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=dtype)
    loaded = weights(pipe)
    stored = {}
    for part, stem in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model"), ("text_encoder", "model")):
        stored |= {f"{part}.{k.removeprefix('text_model.')}": v for k, v in load_file(folder / part / f"{stem}.safetensors").items()}
    check(f"{name}: from_pretrained takes every tensor", loaded.keys() == stored.keys() and all(torch.equal(loaded[k], stored[k]) for k in stored))
    single = StableDiffusionPipeline.from_single_file(str(FOLDER / f"{name}.safetensors"), config=str(folder), torch_dtype=dtype, local_files_only=True)
    other = weights(single)
    check(f"{name}.safetensors: from_single_file gives the same tensors", other.keys() == loaded.keys() and all(torch.equal(other[k], loaded[k]) for k in loaded))
    if dtype == torch.float32:
        torch.manual_seed(0)
        image = pipe("a photo", num_inference_steps=2, output_type="np", height=64, width=64).images
        check(f"{name}: makes a picture of finite numbers", bool(torch.isfinite(torch.from_numpy(image)).all()))
