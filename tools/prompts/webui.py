"""AUTOMATIC1111 stable-diffusion-webui's own code about prompts, cut loose from its web server. Used by the scripts beside it, which name the versions."""

import sys
import types
from pathlib import Path

import torch
from transformers import CLIPTextModel, CLIPTokenizer


def module(name, **members):
    made = types.ModuleType(name)
    for key, value in members.items():
        setattr(made, key, value)
    sys.modules[name] = made
    parent, _, leaf = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], leaf, made)
    return made


class Transformer(torch.nn.Module):
    """Where A1111 looks for the parts of transformers' text model."""

    def __init__(self, folder):
        super().__init__()
        self.text = CLIPTextModel.from_pretrained(folder / "text_encoder").eval().requires_grad_(False)

    @property
    def text_model(self):
        return getattr(self.text, "text_model", self.text)

    def forward(self, input_ids, output_hidden_states):
        return self.text(input_ids=input_ids, output_hidden_states=output_hidden_states < -1)


def start(root: Path):
    """Makes `modules` importable from the checkout at `root`; what belongs to the server is a stand-in. Returns its options."""
    options = types.SimpleNamespace(
        CLIP_stop_at_last_layers=1,
        emphasis="Original",
        use_old_emphasis_implementation=False,
        comma_padding_backtrack=20,
        textual_inversion_add_hashes_to_infotext=False,
        infotext_skip_pasting=[],
        infotext_styles="Ignore",
        use_old_hires_fix_width_height=False,
        auto_backcompat=False,
    )
    package = module("modules")
    package.__path__ = [str(root / "modules")]
    module("modules.devices", device=torch.device("cpu"), torch_npu_set_device=lambda: None)
    module("modules.shared", opts=options)
    module("modules.errors")
    hijack = module("modules.sd_hijack")
    hijack.model_hijack = types.SimpleNamespace(
        fixes=None,
        extra_generation_params={},
        embedding_db=types.SimpleNamespace(find_embedding_at_position=lambda tokens, offset: (None, None)),
    )
    return options


def text_encoder(folder: Path):
    """`FrozenCLIPEmbedderWithCustomWords` around the text encoder of a folder in diffusers' layout."""
    from modules import sd_hijack_clip

    wrapped = types.SimpleNamespace(tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"), transformer=Transformer(folder))
    return sd_hijack_clip.FrozenCLIPEmbedderWithCustomWords(wrapped, sys.modules["modules.sd_hijack"].model_hijack)
