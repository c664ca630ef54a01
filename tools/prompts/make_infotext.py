"""Writes fixtures/prompts/infotext.json: what A1111 keeps in pictures, and what it reads there, for packages/models/test/prompts.

    python tools/prompts/make_infotext.py WEBUI

WEBUI, versions: see make_fixtures.py. What runs as it is: create_infotext of modules/processing.py, and modules/infotext_utils.py. `ours` are texts as sdft writes them
(the test makes them anew), with what A1111 reads there.
"""

import ast
import json
import sys
import types
from pathlib import Path

import webui

OUT = Path(__file__).resolve().parents[2] / "fixtures" / "prompts" / "infotext.json"

BASIC = {"Steps": "20", "Sampler": "Euler a", "Schedule type": "Karras", "CFG scale": "7.5", "Seed": "42", "Size": "512x768"}
OURS = [
    {"prompt": "a cat", "negative": "", "settings": {**BASIC, "Model": "nano", "Prompt syntax": "plain", "Version": "sdft 0.1.0"}},
    {"prompt": "a (cat:1.2), [dog]\nsecond line, \u6771\u4eac <lora:x:0.8>", "negative": "ugly: very,\nbad", "settings": {**BASIC, "Model hash": "0123456789", "Model": "odd, name: \"x\" \\ y", "Clip skip": "2", "Emphasis": "No norm"}},
    {"prompt": "", "negative": "only negative", "settings": {**BASIC, "Denoising strength": "0.75"}},
]  # fmt: skip
THEIRS = [
    ("a cat", "", {}),
    ("masterpiece, (best quality:1.2), \"quoted\", a: b\n\nsecond paragraph", "ugly, (bad:1.3)\nlines", {"Lora hashes": "a: 0123, b: 4567", "Hires prompt": "a\nb", "Odd/key-name": "say \"x\", \\ y"}),
    ("Negative prompt inside, Steps: 3, Sampler: x, Seed: 4", "", {"TI hashes": "x: y"}),
    ("\u5c11\u5e74\uff0c\u00e9", "n", {}),
]  # fmt: skip


def create_infotext(root, infotext_utils, options):
    tree = ast.parse((root / "modules" / "processing.py").read_text(encoding="utf8"))
    tree.body = [node for node in tree.body if getattr(node, "name", None) == "create_infotext"]
    namespace = {
        "opts": options,
        "infotext_utils": infotext_utils,
        "devices": types.SimpleNamespace(fp8=False),
        "shared": sys.modules["modules.shared"],
        "program_version": lambda: "v1.10.1",
        "errors": types.SimpleNamespace(report=print),
    }
    exec(compile(tree, "processing.py", "exec"), namespace)
    return namespace["create_infotext"]


def main() -> None:
    root = Path(sys.argv[1])
    options = webui.start(root)
    webui.module("gradio", update=dict)
    webui.module("modules.paths", data_path="")
    for name in ("ui_tempdir", "script_callbacks", "processing", "images"):
        webui.module(f"modules.{name}")
    for name, value in dict(face_restoration_model="", add_model_hash_to_info=True, add_model_name_to_info=True, add_vae_hash_to_info=True, add_vae_name_to_info=True, eta_noise_seed_delta=0, randn_source="GPU", add_version_to_infotext=True, add_user_name_to_info=False, inpainting_mask_weight=1, fp8_storage=None, cache_fp16_weight=None).items():
        setattr(options, name, value)
    from modules import infotext_utils

    create = create_infotext(root, infotext_utils, options)
    theirs = []
    for prompt, negative, extra in THEIRS:
        p = types.SimpleNamespace(
            steps=20, sampler_name="DPM++ 2M", scheduler="Automatic", cfg_scale=7.0, restore_faces=False, width=512, height=512, sd_model_hash="abc", sd_model_name="model, v1", sd_vae_hash=None, sd_vae_name=None,
            subseed_strength=0, seed_resize_from_w=0, seed_resize_from_h=0, extra_generation_params=extra, is_using_inpainting_conditioning=False, clip_skip=2, tiling=False, user=None, batch_size=1,
            get_token_merging_ratio=lambda for_hr=False: 0, all_negative_prompts=[negative],
        )  # fmt: skip
        text = create(p, [prompt], [7], [0], all_negative_prompts=[negative])
        theirs.append([text, infotext_utils.parse_generation_parameters(text)])
    ours = []
    for parameters in OURS:
        line = ", ".join(f"{k}: {infotext_utils.quote(v)}" for k, v in parameters["settings"].items())
        negative = f"\nNegative prompt: {parameters['negative']}" if parameters["negative"] else ""
        text = f"{parameters['prompt']}{negative}\n{line}"
        ours.append([parameters, text, infotext_utils.parse_generation_parameters(text)])
    OUT.write_text(json.dumps({"what": "A1111 v1.10.1; ours: [parameters, text, what A1111 reads]; theirs: [text that A1111 writes, what it reads]", "ours": ours, "theirs": theirs}, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(OUT.name, OUT.stat().st_size)


main()
