"""Writes fixtures/replay/sd2-base: a base of Stable Diffusion 2's kind, very small, with random weights, in diffusers' layout.

    python tools/replay/make_sd2_base.py

Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.0. Without network.

What it has of SD2 and tiny-sd of the goldens has not: predicts v, linear projections around attention, heads of one size in every block, a text encoder with gelu,
prompts padded with "!", id 0. Its vocabulary is the first part of CLIP's (of tiny-sd's tokenizer), so that the file stays small.
"""

import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
SOURCE = FIXTURES / "goldens" / "tiny-sd" / "tokenizer"
OUT = FIXTURES / "replay" / "sd2-base"
MERGES = 700
WIDTH = 16


def write_tokenizer(folder):
    folder.mkdir(parents=True, exist_ok=True)
    merges = (SOURCE / "merges.txt").read_text(encoding="utf8").split("\n")[: 1 + MERGES]
    words = json.loads((SOURCE / "vocab.json").read_text(encoding="utf8"))
    kept = [word for word, id in sorted(words.items(), key=lambda item: item[1]) if id < 512 + MERGES]
    vocabulary = {word: i for i, word in enumerate([*kept, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf8")
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf8")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        settings = json.loads((SOURCE / name).read_text())
        (folder / name).write_text(json.dumps({**settings, "pad_token": "!"}, indent=1) + "\n")
    return vocabulary


def randomise(model, generator):
    """Every parameter matters: gains of one and biases of zero would hide that they are not read."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() == 1:
                p.copy_((1 + 0.2 * noise) if "norm" in name and name.endswith("weight") else 0.1 * noise)
            elif "embedding" in name and "time" not in name:
                p.copy_(0.3 * noise)
            else:
                p.copy_(0.8 * noise / p[0].numel() ** 0.5)
    return model


def main():
    vocabulary = write_tokenizer(OUT / "tokenizer")
    generator = torch.Generator().manual_seed(2)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=(2, 4),
        norm_num_groups=4,
        use_linear_projection=True,
    )
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        sample_size=64,
        scaling_factor=0.18215,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            hidden_act="gelu",
            projection_dim=WIDTH,
            bos_token_id=vocabulary["<|startoftext|>"],
            eos_token_id=vocabulary["<|endoftext|>"],
            pad_token_id=vocabulary["!"],
        )
    )
    randomise(unet, generator).save_pretrained(OUT / "unet")
    randomise(vae, generator).save_pretrained(OUT / "vae")
    randomise(text, generator).save_pretrained(OUT / "text_encoder")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(OUT / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.1",
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (OUT / "model_index.json").write_text(json.dumps(index, indent=1) + "\n")
    tokenizer = CLIPTokenizer.from_pretrained(OUT / "tokenizer")
    assert tokenizer.pad_token_id == 0 and len(tokenizer) == len(vocabulary)
    print(tokenizer("a photo of the cat", padding="max_length", max_length=12).input_ids)
    print([w for w in kept_words(vocabulary) if len(w) > 6][:80])
    print(sum(f.stat().st_size for f in OUT.rglob("*") if f.is_file()), "bytes")


def kept_words(vocabulary):
    return [word for word in vocabulary if word.endswith("</w>")]


if __name__ == "__main__":
    main()
