"""Writes fixtures/checkpoint/: files as PyTorch and the training programs of Stable Diffusion leave them, for packages/models/test/checkpoint.

    python tools/checkpoint/make_fixtures.py STABLEDIFFUSION

STABLEDIFFUSION: a checkout of github.com/Stability-AI/stablediffusion (cf1d67a), whose classes give the names in the single-file layout.
Made with Python 3.11, torch 2.15.0 (CPU), numpy 2.4.6, diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.0.

manifest.json: for PyTorch files, per tensor [dtype, shape, first 16 hex digits of the sha256 of the little-endian row-major bytes]; for single-file
checkpoints, per network the sha256 over its tensors under diffusers' names, as diffusers' own converter gives them: for each name in order,
"NAME DTYPE SHAPE\n" and the bytes.
"""

import argparse
import base64
import collections
import hashlib
import json
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[2] / "fixtures" / "checkpoint"
NAMES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}
manifest = {}


def raw(t):
    return t.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b""


def line(t):
    return [NAMES[t.dtype], list(t.shape), hashlib.sha256(raw(t)).hexdigest()[:16]]


def draw(*shape, seed, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def save(name, value, tensors, **options):
    torch.save(value, OUT / name, **options)
    manifest[name] = {"tensors": {k: line(v) for k, v in tensors.items()}}
    print(name, (OUT / name).stat().st_size)


# Tensors of every type and layout.


def every_dtype():
    tensors = {NAMES[d].lower(): (draw(3, 5, seed=i) * 50).to(d) for i, d in enumerate(NAMES)}
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 4)
    save("dtypes.pt", tensors, tensors)
    save("dtypes-protocol-4.pt", tensors, tensors, pickle_protocol=4)


def strided():
    base = draw(6, 8, seed=20, dtype=torch.float16)
    tensors = {
        "whole": base,
        "transposed": base.t(),
        "columns": base[:, 2:5],
        "every_other": base[::2, ::3],
        "rows": base[2:4],
        "expanded": base[0].expand(4, 8),
        "channels_last": draw(2, 3, 4, 5, seed=21).to(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(draw(4, seed=22)),
    }
    save("strided.pt", tensors, tensors)
    save("strided-legacy.pt", tensors, tensors, _use_new_zipfile_serialization=False)


# What a training program leaves beside the weights.


class Stranger:
    """A class that no reader knows: of a list, a dict and a plain kind."""


def stranger(module, name, *bases):
    made = type(name, bases or (object,), {"__module__": module})
    parts = module.split(".")
    for i in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:i]), types.ModuleType(parts[i - 1]))
    setattr(sys.modules[module], name, made)
    return made


def lightning():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model(draw(2, 4, seed=30)).sum().backward()
    optimizer.step()
    checkpoint = stranger("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    config = stranger("omegaconf.dictconfig", "DictConfig", dict)({"lr": 1e-4})
    config.flags = {"readonly": None}
    steps = stranger("omegaconf.listconfig", "ListConfig", list)([1, 2])
    value = {
        "epoch": 3,
        "global_step": 123456789012,
        "pytorch-lightning_version": "1.9.0",
        "state_dict": collections.OrderedDict(model.state_dict()),
        "callbacks": {checkpoint: {"best_model_score": np.float64(0.125), "dirpath": "/somewhere"}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [{"base_lrs": [1e-4], "_step_count": 2}],
        "hyper_parameters": argparse.Namespace(config=config, steps=steps, array=np.arange(4.0), seen={1, 2}),
        "native_amp_scaling_state": None,
    }
    value["state_dict"]._metadata = model.state_dict()._metadata
    value["state_dict"]["itself"] = value["epoch"]
    tensors = dict(model.state_dict())
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer_states.0.state.{i}.{k}": v for k, v in state.items()}
    save("lightning.ckpt", value, tensors)
    save("lightning-legacy.ckpt", value, tensors, _use_new_zipfile_serialization=False)


def parameter_dict():
    """The embedding file of the original Textual Inversion, whose vectors sit in a ParameterDict."""
    vectors = draw(2, 6, seed=40)
    value = {
        "string_to_token": {"*": torch.tensor(265)},
        "string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(vectors)}),
    }
    save("textual-inversion-original.pt", value, {"string_to_token.*": torch.tensor(265), "string_to_param.*": vectors})


# Pickles of every protocol.


def pickles():
    shared = ["shared"]
    value = {
        "ints": [0, 1, 255, 256, 65535, 65536, -1, -(2**31), 2**31, 2**53 - 1, -(2**53) + 1],
        "big": 2**80,
        "floats": [0.0, -1.5, 1e300, 0.1],
        "words": ["", "text", "h\u00e9", "\U0001f600", "x" * 300, "line\nbreak 'quoted' \"twice\" back\\slash"],
        "none": None, "yes": True, "no": False,
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "nested": {"a": {"b": [{}, [], ()]}},
        "ordered": collections.OrderedDict([("z", 1), ("a", 2)]),
        "twice": [shared, shared],
        5: "a number as key",
    }
    expected = json.loads(json.dumps(value | {"big": str(2**80)}))
    files = [{"protocol": p, "base64": base64.b64encode(pickle.dumps(value, p)).decode()} for p in range(6)]
    (OUT / "pickles.json").write_text(json.dumps({"expected": expected, "pickles": files}) + "\n")


# Single-file checkpoints of odd sizes.


def digests(networks):
    result = {}
    for network, tensors in networks.items():
        h = hashlib.sha256()
        for name in sorted(tensors):
            t = tensors[name]
            h.update(f"{name} {NAMES[t.dtype]} {json.dumps(list(t.shape), separators=(',', ':'))}\n".encode() + raw(t))
        result[network] = h.hexdigest()
    return result


def stability(root):
    """The original classes, with 4 norm groups in place of 32 so that the model can be small."""
    sys.path.insert(0, root)
    sys.modules["einops"] = types.SimpleNamespace(rearrange=None, repeat=None)
    from ldm.modules import attention, ema
    from ldm.modules.diffusionmodules import model, openaimodel

    openaimodel.normalization = lambda c: torch.nn.GroupNorm(4, c)
    attention.Normalize = model.Normalize = lambda c, num_groups=4: torch.nn.GroupNorm(4, c, eps=1e-6)
    return openaimodel.UNetModel, model.Encoder, model.Decoder, ema.LitEma


def randomise(module, seed):
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(draw(*p.shape, seed=seed + i))
    return module.half()


class Wrapper(torch.nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def vae_of(Encoder, Decoder):
    size = dict(ch=4, ch_mult=(1, 2, 2), num_res_blocks=1, attn_resolutions=[], in_channels=3, resolution=32, z_channels=4, out_ch=3)
    return Wrapper(
        encoder=Encoder(**size, double_z=True), decoder=Decoder(**size),
        quant_conv=torch.nn.Conv2d(8, 8, 1), post_quant_conv=torch.nn.Conv2d(4, 4, 1),
    )


VAE = {
    "block_out_channels": [4, 8, 8], "down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3,
    "latent_channels": 4, "layers_per_block": 1, "norm_num_groups": 4, "scaling_factor": 0.25,
}


def converted(checkpoint, unet, text):
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

    options = {"class_embed_type": None, "addition_embed_type": None, "num_class_embeds": None, **unet}
    return {
        "unet": convert_ldm_unet_checkpoint(dict(checkpoint), options),
        "vae": convert_ldm_vae_checkpoint(dict(checkpoint), VAE),
        "text_encoder": text,
    }


def sd1_odd(classes):
    """Two levels, one layer each, attention only in the finer; running averages; a text encoder without the prefix text_model."""
    from transformers import CLIPTextConfig, CLIPTextModel

    UNetModel, Encoder, Decoder, LitEma = classes
    network = UNetModel(
        image_size=8, in_channels=4, out_channels=4, model_channels=4, attention_resolutions=[1], num_res_blocks=1, channel_mult=(1, 2),
        num_heads=2, use_spatial_transformer=True, transformer_depth=1, context_dim=6, use_checkpoint=False, legacy=False,
    )
    model = randomise(Wrapper(diffusion_model=network), 100)
    averages = LitEma(model)
    for i, (name, buffer) in enumerate(averages.named_buffers()):
        if name not in ("decay", "num_updates"):
            buffer.copy_(draw(*buffer.shape, seed=500 + i))
    text_config = dict(vocab_size=50, hidden_size=6, intermediate_size=10, num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=7, hidden_act="quick_gelu", bos_token_id=48, eos_token_id=49)
    text = randomise(CLIPTextModel(CLIPTextConfig(**text_config)), 300)
    vae = randomise(vae_of(Encoder, Decoder), 400)
    state = Wrapper(model=model, model_ema=averages, first_stage_model=vae).state_dict()
    state |= {f"cond_stage_model.transformer.{k}": v for k, v in text.state_dict().items()}
    state["cond_stage_model.transformer.embeddings.position_ids"] = torch.arange(7)[None]
    state["betas"] = torch.linspace(0.1, 0.2, 5)
    state["first_stage_model.loss.logvar"] = torch.tensor(0.0)
    unet = {
        "block_out_channels": [4, 8], "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
        "layers_per_block": 1, "cross_attention_dim": 6, "attention_head_dim": 2, "norm_num_groups": 4,
    }
    names = {f"text_model.{k}": v for k, v in text.state_dict().items() if "position_ids" not in k}
    torch.save({"state_dict": state, "epoch": 1}, OUT / "sd1-odd.ckpt", _use_new_zipfile_serialization=False)
    settings = {"unet": unet, "vae": VAE, "text_encoder": text_config, "scheduler": {"prediction_type": "epsilon"}}
    (OUT / "sd1-odd.json").write_text(json.dumps(settings) + "\n")
    plain = converted(state, unet, names)
    with_ema = state | {
        k: state["model_ema." + k.removeprefix("model.").replace(".", "")] for k in state if k.startswith("model.diffusion_model.")
    }
    manifest["sd1-odd.ckpt"] = {"digests": digests(plain), "ema": digests(converted(with_ema, unet, names))["unet"]}
    print("sd1-odd.ckpt", (OUT / "sd1-odd.ckpt").stat().st_size)


class OpenClipBlock(torch.nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = torch.nn.LayerNorm(width)
        self.attn = torch.nn.MultiheadAttention(width, heads)
        self.ln_2 = torch.nn.LayerNorm(width)
        self.mlp = torch.nn.Sequential(
            collections.OrderedDict(c_fc=torch.nn.Linear(width, 4 * width), gelu=torch.nn.GELU(), c_proj=torch.nn.Linear(4 * width, width))
        )


def sd2_openclip(classes):
    """Linear projections, attention in both levels, OpenCLIP's names, v prediction."""
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    UNetModel, Encoder, Decoder, _ = classes
    network = UNetModel(
        image_size=8, in_channels=4, out_channels=4, model_channels=4, attention_resolutions=[1, 2], num_res_blocks=2, channel_mult=(1, 2),
        num_head_channels=4, use_spatial_transformer=True, use_linear_in_transformer=True, transformer_depth=1, context_dim=8, use_checkpoint=False, legacy=False,
    )
    width, layers = 8, 3
    text = Wrapper(
        transformer=Wrapper(resblocks=torch.nn.ModuleList([OpenClipBlock(width, 2) for _ in range(layers)])),
        token_embedding=torch.nn.Embedding(50, width), ln_final=torch.nn.LayerNorm(width),
    )
    text.positional_embedding = torch.nn.Parameter(torch.zeros(7, width))
    text.text_projection = torch.nn.Parameter(torch.zeros(width, width))
    text.logit_scale = torch.nn.Parameter(torch.zeros(()))
    parts = Wrapper(
        model=Wrapper(diffusion_model=randomise(network, 700)), first_stage_model=randomise(vae_of(Encoder, Decoder), 900),
        cond_stage_model=Wrapper(model=randomise(text, 1000)),
    )
    state = {k: v.contiguous() for k, v in parts.state_dict().items()}
    unet = {
        "block_out_channels": [4, 8], "down_block_types": ["CrossAttnDownBlock2D"] * 2, "up_block_types": ["CrossAttnUpBlock2D"] * 2,
        "layers_per_block": 2, "cross_attention_dim": 8, "attention_head_dim": [1, 2], "norm_num_groups": 4, "use_linear_projection": True,
    }
    text_config = dict(vocab_size=50, hidden_size=8, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=7, hidden_act="gelu", bos_token_id=48, eos_token_id=49)
    save_file(state, OUT / "sd2-openclip.safetensors", {"format": "pt"})
    settings = {"unet": unet, "vae": VAE, "text_encoder": text_config, "scheduler": {"prediction_type": "v_prediction"}}
    (OUT / "sd2-openclip.json").write_text(json.dumps(settings) + "\n")
    wanted = types.SimpleNamespace(config=types.SimpleNamespace(hidden_size=width))
    names = convert_open_clip_checkpoint(wanted, dict(state))
    names = {k: v for k, v in names.items() if f"encoder.layers.{layers - 1}." not in k and not k.startswith("text_projection")}
    names = {k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in names.items()}
    manifest["sd2-openclip.safetensors"] = {"digests": digests(converted(state, unet, names))}
    print("sd2-openclip.safetensors", (OUT / "sd2-openclip.safetensors").stat().st_size)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    every_dtype()
    strided()
    lightning()
    parameter_dict()
    pickles()
    classes = stability(sys.argv[1])
    sd1_odd(classes)
    sd2_openclip(classes)
    (OUT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
