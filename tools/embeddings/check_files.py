"""Reads embeddings that sdft wrote with the programs that they are meant for, and says whether all of them agree.

    python tools/embeddings/check_files.py BASE TOKEN FILE...

BASE is a folder in diffusers layout, TOKEN the word. A .safetensors or .bin goes through diffusers' load_textual_inversion, and its rows must stand in the text encoder's
table; a .pt through torch.load(weights_only=True), with A1111's layout; all must hold the same numbers.
Run with Python 3.11, torch 2.15.0, diffusers 0.42.1, transformers 5.23.0.
"""

import sys
import zipfile

import torch
from diffusers import StableDiffusionPipeline


def from_diffusers(base: str, token: str, file: str) -> torch.Tensor:
    pipe = StableDiffusionPipeline.from_pretrained(base, safety_checker=None, local_files_only=True)
    before = pipe.text_encoder.get_input_embeddings().weight.detach().clone()
    pipe.load_textual_inversion(file)
    table = pipe.text_encoder.get_input_embeddings().weight.detach()
    assert torch.equal(table[: len(before)], before), f"{file}: frozen rows changed"
    ids = pipe.tokenizer(pipe.maybe_convert_prompt(token, pipe.tokenizer), add_special_tokens=False).input_ids
    assert ids == list(range(len(before), len(table))), f"{file}: the word became {ids}"
    return table[len(before) :]


def from_a1111(file: str) -> torch.Tensor:
    with zipfile.ZipFile(file) as archive:
        names = sorted(name.split("/", 1)[1] for name in archive.namelist())
    # A1111 v1.10.1 (modules/safe.py) refuses every other member.
    assert all(name in ("data.pkl", "version") or name.startswith("data/") for name in names), f"{file}: members {names}"
    data = torch.load(file, weights_only=True)
    assert list(data) == ["string_to_token", "string_to_param", "name", "step", "sd_checkpoint", "sd_checkpoint_name"], list(data)
    assert data["string_to_token"] == {"*": 265} and list(data["string_to_param"]) == ["*"]
    assert isinstance(data["step"], int)
    return data["string_to_param"]["*"]


def main() -> None:
    base, token, *files = sys.argv[1:]
    found = {file: from_a1111(file) if file.endswith(".pt") else from_diffusers(base, token, file) for file in files}
    first = next(iter(found.values()))
    for file, vectors in found.items():
        assert vectors.dtype == torch.float32 and torch.equal(vectors, first), f"{file}: other numbers"
        print(f"{file}: {tuple(vectors.shape)}, reads as it should")


if __name__ == "__main__":
    main()
