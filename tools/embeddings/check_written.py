"""Loads files written by write_samples.ts with the programs that they are meant for, and draws the same pictures with diffusers.

    node --conditions=@sdft/source tools/embeddings/write_samples.ts FOLDER
    python tools/embeddings/check_written.py FOLDER [--keep] [--webui WEBUI]

--webui: a copy of AUTOMATIC1111/stable-diffusion-webui v1.10.1 (82a973c), whose modules/safe.py and create_embedding_from_data then read the .pt files too.
--keep: writes what came out to fixtures/embeddings (checked.json, diffusers.safetensors), which tests compare with; needs --webui.

Ran with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.0. Without network.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import sys
import types
import zipfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file, save_file

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("--keep", action="store_true")
parser.add_argument("--webui", type=Path)
args = parser.parse_args()
if args.keep and not args.webui:
    parser.error("--keep says that A1111 read the files, so it needs --webui")

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
BASE = FIXTURES / "goldens" / "tiny-sd"
SAMPLES = json.loads((FIXTURES / "embeddings" / "samples.json").read_text())
WRITTEN = {entry["file"]: entry for entry in json.loads((args.folder / "written.json").read_text())}
START = load_file(FIXTURES / "embeddings" / "start.safetensors")["latents"]
failed = 0


def check(what, ok):
    global failed
    failed += not ok
    print("ok  " if ok else "FAIL", what)


def values_of(file, vectors):
    return torch.tensor(WRITTEN[file]["values"], dtype=torch.float32).reshape(vectors, -1)


def types_of(value):
    if isinstance(value, dict):
        return {key: types_of(item) for key, item in value.items()}
    return (value.dtype, len(value.shape)) if isinstance(value, torch.Tensor) else type(value)


def check_zip(path):
    with zipfile.ZipFile(path) as z:
        names = [name.split("/", 1) for name in z.namelist()]
        check(f"{path.name}: sound, nothing compressed", z.testzip() is None and all(i.compress_type == zipfile.ZIP_STORED for i in z.infolist()))
        check(
            f"{path.name}: members are data.pkl, data/N and version alone, in one folder",
            len({folder for folder, _ in names}) == 1
            and all(re.fullmatch(r"data\.pkl|data/\d+|version", member) for _, member in names)
            and {"data.pkl", "data/0", "version"} <= {member for _, member in names},
        )


def check_a1111(path, name, step, expected=None):
    check_zip(path)
    value = torch.load(path, weights_only=True)
    era = torch.load(FIXTURES / "goldens" / "train" / "ti_a1111" / "result.a1111-era.pt", weights_only=True)
    check(f"{path.name}: keys in A1111's order: {', '.join(value)}", type(value) is dict and list(value) == list(era))
    ours, theirs = types_of(value), types_of(era)
    for key in ("sd_checkpoint", "sd_checkpoint_name"):
        check(f"{path.name}: {key} is a text or None", ours.pop(key) in (str, type(None)) and theirs.pop(key) in (str, type(None)))
    check(f"{path.name}: types as A1111's", ours == theirs)
    check(f"{path.name}: string_to_token", value["string_to_token"] == {"*": 265} == era["string_to_token"])
    check(f"{path.name}: name {value['name']}, step {value['step']}", value["name"] == name and value["step"] == step)
    vectors = value["string_to_param"]["*"]
    check(f"{path.name}: {list(vectors.shape)} contiguous", vectors.is_contiguous())
    if expected is not None:
        check(f"{path.name}: values", torch.equal(vectors, expected))
    if args.webui:
        check_webui(path, vectors)
    return vectors


def part_of(path, names, namespace):
    tree = ast.parse(path.read_text(encoding="utf8"))
    tree.body = [node for node in tree.body if getattr(node, "name", None) in names]
    exec(compile(tree, str(path), "exec"), namespace)
    return namespace


def check_webui(path, vectors):
    """A1111's own guard against malicious pickles, and its own reading of what is inside."""
    modules = sys.modules["modules"] = types.ModuleType("modules")
    modules.__path__ = [str(args.webui / "modules")]
    errors = sys.modules["modules.errors"] = types.ModuleType("modules.errors")

    def report(message, **_):
        raise RuntimeError(message)

    errors.report = report
    modules.errors = errors
    sys.modules["modules.shared"] = types.ModuleType("modules.shared")
    from modules import safe

    safe.shared = types.SimpleNamespace(cmd_opts=types.SimpleNamespace(disable_safe_unpickle=False))
    sys.modules["modules"].shared = safe.shared
    safe.check_pt(path, None)
    devices = types.SimpleNamespace(device="cpu")
    source = args.webui / "modules" / "textual_inversion" / "textual_inversion.py"
    reader = part_of(source, ["Embedding", "create_embedding_from_data"], {"torch": torch, "devices": devices})
    found = reader["create_embedding_from_data"](torch.load(path, weights_only=True), path.stem)
    check(f"{path.name}: A1111's safe.py lets it pass, its reader finds {found.vectors} vectors", found.vectors == len(vectors) and torch.equal(found.vec, vectors) and found.step is not None)


def pipeline():
    pipe = StableDiffusionPipeline.from_pretrained(BASE, safety_checker=None)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


kept = {}
hashes = {}
report = {}
for sample in SAMPLES:
    file, token, n, prompt = (sample[key] for key in ("file", "token", "vectors", "prompt"))
    path = args.folder / file
    expected = values_of(file, n)
    hashes[file] = hashlib.sha256(path.read_bytes()).hexdigest()
    if path.suffix == ".pt":
        check_a1111(path, path.stem, 0, expected)
    elif path.suffix == ".bin":
        check_zip(path)
        value = torch.load(path, weights_only=True)
        check(f"{file}: diffusers' layout", type(value) is dict and list(value) == [token] and torch.equal(value[token], expected))
    else:
        with safe_open(path, "pt") as opened:
            check(f"{file}: one tensor called {token}, metadata format: pt", list(opened.keys()) == [token] and opened.metadata() == {"format": "pt"})
        check(f"{file}: values", torch.equal(load_file(path)[token], expected))

    pipe = pipeline()
    before = len(pipe.tokenizer)
    pipe.load_textual_inversion(str(path))
    words = [token, *(f"{token}_{i}" for i in range(1, n))]
    ids = pipe.tokenizer.convert_tokens_to_ids(words)
    check(f"{file}: diffusers loads it as {', '.join(words)} = {ids}", ids == list(range(before, before + n)) and len(pipe.tokenizer) == before + n)
    rows = pipe.text_encoder.get_input_embeddings().weight.detach()
    check(f"{file}: its rows in diffusers' table are the vectors that were saved", torch.equal(rows[ids], expected) and len(rows) == before + n)
    said = pipe.tokenizer(pipe.maybe_convert_prompt(prompt, pipe.tokenizer), padding="max_length", max_length=77, truncation=True).input_ids
    check(f"{file}: {prompt!r} has the same ids", said == WRITTEN[file]["ids"] and all(i in said for i in ids))
    with torch.no_grad():
        final = pipe([prompt] * 2, negative_prompt=["blurry"] * 2, latents=START, num_inference_steps=10, guidance_scale=7.5, output_type="latent").images
        plain = pipeline()([prompt] * 2, negative_prompt=["blurry"] * 2, latents=START, num_inference_steps=10, guidance_scale=7.5, output_type="latent").images
    ours = load_file(args.folder / f"{file}.latents.safetensors")["latents"]
    off = (ours - final).abs().max().item()
    moved = (plain - final).abs().max().item()
    check(f"{file}: final latents of sdft generate and diffusers differ by at most {off:.1e} (without the embedding by {moved:.1e}; they reach {final.abs().max().item():.1f})", off <= 1e-3 and moved > 1e-1)
    report[file] = {"largest_difference_of_final_latents": off, "without_embedding": moved}
    negative = pipe.tokenizer("blurry", padding="max_length", max_length=77).input_ids
    kept |= {
        f"{file}.cond_ids": torch.tensor([said]),
        f"{file}.uncond_ids": torch.tensor([negative]),
        f"{file}.final_latents": final.contiguous(),
    }

trained = check_a1111(args.folder / "trained.pt", "trained", 5)
golden = load_file(FIXTURES / "goldens" / "train" / "ti_a1111" / "result.safetensors")
started = load_file(FIXTURES / "goldens" / "train" / "ti_a1111" / "initial.safetensors")
[golden], [started] = golden.values(), started.values()
off = ((trained - golden).norm() / (golden - started).norm()).item()
check(f"trained.pt: A1111's own result, {off:.1e} of its movement away", off <= 1e-4)

if args.keep and not failed:
    save_file(kept, FIXTURES / "embeddings" / "diffusers.safetensors")
    (FIXTURES / "embeddings" / "diffusers.safetensors").chmod(0o644)
    checked = {
        "what": "sha256 of files that tools/embeddings/check_written.py has loaded with torch 2.15.0 (weights_only), diffusers 0.42.1 and the checks of A1111 v1.10.1",
        "sha256": hashes,
        "pictures": report,
    }
    (FIXTURES / "embeddings" / "checked.json").write_text(json.dumps(checked, indent=1) + "\n")
print(f"{failed} failed")
sys.exit(1 if failed else 0)
