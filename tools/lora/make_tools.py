"""Writes fixtures/lora/tools.json and tools.safetensors: what kohya's tools and diffusers make of goldens/tiny-sd and its LoRA, for packages/methods/test/lora/tools.test.ts.

    python tools/lora/make_tools.py SD_SCRIPTS

SD_SCRIPTS: a copy of kohya-ss/sd-scripts at 48d368fa557731ad0488c07304dfeba8c07910eb (Apache 2.0), whose networks/{merge,resize}_lora.py and networks/extract_lora_from_models.py
are used as they are. Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, peft 0.21.0, transformers 5.23.0, safetensors 0.8.0.

Of every matrix the root of its squares is kept, and some of its numbers, evenly spread.
"""

import json
import os
import sys
import tempfile
import types
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
OUT = FIXTURES / "lora"
BASE = FIXTURES / "goldens" / "tiny-sd"
KOHYA_LORA = FIXTURES / "goldens" / "train" / "kohya_lora" / "result.safetensors"
CONV_LORA = OUT / "kohya.result.safetensors"
PEFT_LORA = FIXTURES / "goldens" / "train" / "lora" / "result.safetensors"
TUNED = FIXTURES / "goldens" / "train" / "db_prior" / "result.safetensors"
SOME = 6


def stub(name, **values):
    module = sys.modules[name] = types.ModuleType(name)
    for key, value in values.items():
        setattr(module, key, value)
    return module


def text_encoder():
    return CLIPTextModel.from_pretrained(BASE / "text_encoder", torch_dtype=torch.float32)


def unet(tuned=False):
    model = UNet2DConditionModel.from_pretrained(BASE / "unet", torch_dtype=torch.float32)
    if tuned:
        state = {name.removeprefix("unet."): value for name, value in load_file(TUNED).items() if name.startswith("unet.")}
        model.load_state_dict(state)
    return model


stub("library")
stub("library.utils", setup_logging=lambda: None)
stub("library.train_util", precalculate_safetensors_hashes=lambda *_: ("", ""), load_metadata_from_safetensors=lambda _: {})
stub("library.sai_model_spec")
stub("library.sdxl_model_util")
stub("library.sdxl_original_unet", SdxlUNet2DConditionModel=type("Nothing", (), {}))
stub(
    "library.model_util",
    load_models_from_stable_diffusion_checkpoint=lambda _, which: (text_encoder(), None, unet(which == "tuned")),
    get_model_version_str_for_sd1_sd2=lambda *_: "sd_v1",
    is_safetensors=lambda path: str(path).endswith(".safetensors"),
)
for name in ("train_util", "model_util", "sai_model_spec", "sdxl_model_util", "utils"):
    setattr(sys.modules["library"], name, sys.modules[f"library.{name}"])
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]) / "networks")]

import extract_lora_from_models  # noqa: E402
import merge_lora  # noqa: E402
import resize_lora  # noqa: E402

# It asks its command line for the device.
extract_lora_from_models.args = types.SimpleNamespace(device=None)


def seen(matrix):
    flat = matrix.detach().double().flatten()
    places = torch.linspace(0, len(flat) - 1, SOME).long()
    return {"norm": float(flat.norm()), "some": [float(flat[i]) for i in places]}


def changes(before, after):
    """Of every tensor that changed, how."""
    return {name: seen(after[name].double() - before[name].double()) for name in before if not torch.equal(before[name], after[name])}


def both(te, net):
    return {f"text_encoder.{k}": v.detach().clone() for k, v in te.state_dict().items()} | {f"unet.{k}": v.detach().clone() for k, v in net.state_dict().items()}


def product(state, name):
    up, down = state[f"{name}.lora_up.weight"].double(), state[f"{name}.lora_down.weight"].double()
    return up.flatten(1) @ down.flatten(1)


def merged_by_kohya():
    te, net = text_encoder(), unet()
    before = both(te, net)
    merge_lora.merge_to_sd_model(te, net, [str(KOHYA_LORA), str(CONV_LORA)], [0.7, -1.5], torch.float32)
    return changes(before, both(te, net))


def merged_by_diffusers():
    pipe = StableDiffusionPipeline.from_pretrained(BASE, torch_dtype=torch.float32, safety_checker=None)
    before = both(pipe.text_encoder, pipe.unet)
    pipe.load_lora_weights(str(PEFT_LORA.parent), weight_name=PEFT_LORA.name)
    pipe.fuse_lora(lora_scale=0.6)
    pipe.unload_lora_weights()
    return changes(before, both(pipe.text_encoder, pipe.unet))


def extracted(quantile):
    # At 1 it would still cut off what is below the largest number's negative.
    extract_lora_from_models.torch = torch if quantile < 1 else Unclamped()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "lora.safetensors")
        extract_lora_from_models.svd("base", "tuned", path, dim=4, v2=False, sdxl=False, conv_dim=2, clamp_quantile=quantile, save_precision="float", no_metadata=True)
        return load_file(path)


class Unclamped:
    """torch, where every quantile is infinite."""

    def __getattr__(self, name):
        return getattr(torch, name)

    def quantile(self, *_):
        return torch.tensor(float("inf"))


def resized(path, rank, conv_rank, method, value):
    state, _ = resize_lora.load_state_dict(str(path), torch.float)
    with torch.no_grad():
        made, _, _ = resize_lora.resize_lora_model(state, rank, conv_rank, torch.float, None, method, value, False)
    names = sorted(key.removesuffix(".lora_down.weight") for key in made if key.endswith(".lora_down.weight"))
    return {
        name: {"rank": made[f"{name}.lora_down.weight"].shape[0], "alpha": float(made[f"{name}.alpha"]), **seen(product(made, name))} for name in names[::9]
    }


whole, clamped = extracted(1.0), extracted(0.99)
names = sorted(key.removesuffix(".lora_down.weight") for key in whole if key.endswith(".lora_down.weight"))
shown = [name for name in names if name.endswith(("down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", "down_blocks_0_resnets_0_conv1"))]
resizes = [
    {"file": "kohya_lora", "rank": 2, "convRank": 2},
    {"file": "kohya", "rank": 2, "convRank": 1},
    {"file": "kohya_lora", "rank": 4, "convRank": 4, "rule": "sv_ratio", "value": 2.0},
    {"file": "kohya_lora", "rank": 4, "convRank": 4, "rule": "sv_fro", "value": 0.9},
    {"file": "kohya_lora", "rank": 4, "convRank": 4, "rule": "sv_cumulative", "value": 0.6},
]
report = {
    "merge": {"kohya": merged_by_kohya(), "diffusers": merged_by_diffusers()},
    "extract": {"layers": names, "products": {name: seen(product(whole, name)) for name in names[::9]}},
    "resize": [
        {**case, "layers": resized({"kohya_lora": KOHYA_LORA, "kohya": CONV_LORA}[case["file"]], case["rank"], case["convRank"], case.get("rule"), case.get("value"))}
        for case in resizes
    ],
}
for tool in report["merge"].values():
    for i, name in enumerate(sorted(tool)):
        if i % 9:
            del tool[name]


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


(OUT / "tools.json").write_text(json.dumps(rounded(report), separators=(",", ":")) + "\n", encoding="utf8")
save_file(
    {f"{kind}.{key}": state[key].contiguous() for kind, state in (("whole", whole), ("clamped", clamped)) for name in shown for key in (f"{name}.lora_up.weight", f"{name}.lora_down.weight")},
    OUT / "tools.safetensors",
)
