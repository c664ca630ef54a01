"""Writes fixtures/replay/ti-a1111-*: runs of A1111's own embedding trainer, with what they drew.

    python tools/replay/make_a1111.py WEBUI [CASE ...]

WEBUI: AUTOMATIC1111/stable-diffusion-webui v1.10.1, 82a973c04367123ae98bd9abdf80d9eda9b910e2 (AGPL 3; nothing of it is kept here).
Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.0. Without network.

What runs as it is: create_embedding, train_embedding, LearnRateScheduler, PersonalizedBase, the file written (modules/textual_inversion), prompts and the embedding's
place in them (modules/sd_hijack_clip.py, sd_emphasis.py, parse_prompt_attention), EmbeddingsWithFixes and weighted_forward (modules/sd_hijack.py).
What stands in: the web server's own modules (options, state, devices), and CompVis' LatentDiffusion, whose networks are those of diffusers and transformers with the same weights;
its training loss and float64 noise schedule (ldm/models/diffusion/ddpm.py: p_losses, register_schedule) are written out below.
"""

import ast
import contextlib
import os
import random
import sys
import tempfile
import types
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from PIL import Image

torch.set_num_threads(1)

import recording
from recording import BASES, IMAGES, Run, float64_schedule, repeat_in_float64, save

recording.stand_in_for_torchvision()

# Samplers took their data until torch 2.5.
torch.utils.data.Sampler.__init__ = lambda self, data_source=None: None

from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

NAME = "a1111_thing"
CASES = {
    "ti-a1111-value": {
        "vectors": 5,
        "init": "oil painting style",
        "train": {"learn_rate": "0.005:2, 2e-3:4, 1e-3", "clip_grad_mode": "value", "clip_grad_value": "0.004:3, 0.001", "latent_sampling_method": "once", "batch_size": 2, "steps": 6},
        "clip_skip": 2,
        "wrong_context": True,
    },
    "ti-a1111-weight": {
        "vectors": 2,
        "init": "",
        "train": {"learn_rate": "0.01", "latent_sampling_method": "random", "batch_size": 2, "gradient_step": 2, "use_weight": True, "steps": 3},
        "clip_skip": 1,
    },
    "ti-a1111-emphasis": {
        "vectors": 2,
        "init": "cup",
        "train": {"learn_rate": "0.01", "latent_sampling_method": "once", "batch_size": 2, "steps": 4},
        "clip_skip": 1,
        "template": "a (photo:1.4) of ([name]), [filewords]\n[[name] style], [(small:0.5)], [filewords]\n",
    },
}
SIZE = 64


def module(name, **members):
    made = types.ModuleType(name)
    for key, value in members.items():
        setattr(made, key, value)
    sys.modules[name] = made
    parent, _, leaf = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], leaf, made)
    return made


def part_of(path, names, namespace):
    """Runs only these classes and functions of a file, whose other parts need a web server or packages that are not here."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    tree.body = [node for node in tree.body if getattr(node, "name", None) in names]
    assert len(tree.body) == len(names), path
    exec(compile(tree, str(path), "exec"), namespace)
    return namespace


class Distribution:
    """ldm.modules.distributions.distributions.DiagonalGaussianDistribution, as far as the trainer sees it."""

    def __init__(self, moments):
        self.mean, logvar = moments.chunk(2, dim=1)
        self.std = torch.exp(0.5 * logvar.clamp(-30, 20))

    def sample(self):
        return self.mean + self.std * torch.randn(self.mean.shape)


class Model:
    """CompVis' LatentDiffusion with the networks of a folder in diffusers' layout."""

    def __init__(self, folder, run):
        self.run = run
        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval().requires_grad_(False)
        self.vae = AutoencoderKL.from_pretrained(folder / "vae").eval().requires_grad_(False)
        self.first_stage_model = self.vae
        self.model = types.SimpleNamespace(conditioning_key="crossattn")
        alphas = float64_schedule(folder)
        self.signal, self.noisy = (alphas**0.5).float(), ((1 - alphas) ** 0.5).float()

    def encode_first_stage(self, x):
        return Distribution(self.vae.encode(x, return_dict=False)[0].parameters)

    def get_first_stage_encoding(self, posterior):
        return self.vae.config.scaling_factor * posterior.sample()

    def get_loss(self, pred, target, mean=True):
        loss = torch.nn.functional.mse_loss(target, pred, reduction="none")
        return loss.mean() if mean else loss

    def forward(self, x, c):
        t = torch.randint(0, len(self.signal), (x.shape[0],)).long()
        noise = torch.randn_like(x)
        self.run.add(latents=x, noise=noise, timesteps=t)
        weight = getattr(self, "_custom_loss_weight", None)
        if weight is not None:
            self.run.add(weight=weight)
        noisy = self.signal[t].reshape(-1, 1, 1, 1) * x + self.noisy[t].reshape(-1, 1, 1, 1) * noise
        loss = self.get_loss(self.unet(noisy, t, c).sample, noise, mean=False).mean([1, 2, 3]).mean()
        self.run.losses.append(loss.item())
        return loss, {}


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


def webui(root, folder, run, case, work):
    """The trainer's module, in a world of stand-ins."""
    options = {
        "CLIP_stop_at_last_layers": case["clip_skip"],
        "emphasis": "Original",
        "use_old_emphasis_implementation": False,
        "comma_padding_backtrack": 20,
        "textual_inversion_add_hashes_to_infotext": False,
        "unload_models_when_training": False,
        "training_enable_tensorboard": False,
        "pin_memory": False,
        "training_image_repeats_per_epoch": 1,
        "save_training_settings_to_txt": False,
        "save_optimizer_state": False,
        "training_write_csv_every": 0,
        "dataset_filename_word_regex": "",
        "dataset_filename_join_string": " ",
    }
    package = module("modules")
    package.__path__ = [str(root / "modules")]
    module("lark", Lark=lambda *_: None)
    module("ldm.modules.distributions.distributions", DiagonalGaussianDistribution=Distribution)
    devices = module(
        "modules.devices",
        device=torch.device("cpu"),
        cpu=torch.device("cpu"),
        autocast=contextlib.nullcontext,
        cond_cast_unet=lambda x: x,
        torch_npu_set_device=lambda: None,
    )
    shared = module(
        "modules.shared",
        opts=types.SimpleNamespace(**options),
        cmd_opts=types.SimpleNamespace(embeddings_dir=str(work / "embeddings"), textual_inversion_templates_dir=str(work / "templates")),
        state=types.SimpleNamespace(interrupted=False),
        parallel_processing_allowed=True,
        sd_model=Model(folder, run),
    )
    for name in ("processing", "sd_models", "sd_samplers", "errors", "hashes", "sd_hijack_checkpoint"):
        module(f"modules.{name}")
    sys.modules["modules.sd_models"].select_checkpoint = lambda: types.SimpleNamespace(model_name="tiny-sd", shorthash=None)
    sys.modules["modules.sd_hijack_checkpoint"].add = sys.modules["modules.sd_hijack_checkpoint"].remove = lambda: None
    sys.modules["modules.hashes"].sha256 = lambda *_: None

    def report(message, **_):
        raise RuntimeError(message)

    sys.modules["modules.errors"].report = report
    module("modules.images", read=Image.open)

    hijack_module = module("modules.sd_hijack")
    hijack_module.model_hijack = types.SimpleNamespace(fixes=None, extra_generation_params={})
    hijack = hijack_module.model_hijack
    parts = part_of(
        root / "modules" / "sd_hijack.py",
        ["EmbeddingsWithFixes", "weighted_loss", "weighted_forward", "apply_weighted_forward"],
        {"torch": torch, "devices": devices, "MethodType": types.MethodType},
    )
    from modules import sd_hijack_clip
    from modules.textual_inversion import textual_inversion as trainer

    hijack.embedding_db = trainer.EmbeddingDatabase()
    transformer = Transformer(folder)
    embeddings = transformer.text_model.embeddings
    embeddings.token_embedding = parts["EmbeddingsWithFixes"](embeddings.token_embedding, hijack)
    wrapped = types.SimpleNamespace(tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"), transformer=transformer)
    shared.sd_model.cond_stage_model = sd_hijack_clip.FrozenCLIPEmbedderWithCustomWords(wrapped, hijack)
    parts["apply_weighted_forward"](shared.sd_model)
    return trainer, hijack, shared


def listen(trainer, hijack, shared, run, case):
    """Records prompts, ids, rates and norms. Returns what undoes it."""
    text = shared.sd_model.cond_stage_model
    forward, process = text.forward, text.process_tokens

    def forward_(texts):
        if hijack.recording:
            run.next()
            run.prompts.append(list(texts))
        return forward(texts)

    def process_(tokens, multipliers):
        if hijack.recording:
            ids = torch.tensor(tokens)
            for row, fixes in zip(ids, hijack.fixes):
                for offset, embedding in fixes:
                    n = embedding.vec.shape[0]
                    row[offset + 1 : offset + 1 + n] = torch.arange(n) + len(text.tokenizer)
            run.add(input_ids=ids)
            if any(m != 1 for row in multipliers for m in row):
                run.add(multipliers=torch.tensor(multipliers))
        return process(tokens, multipliers)

    text.forward, text.process_tokens = forward_, process_
    clip = {"norm": "clip_grad_norm_", "value": "clip_grad_value_"}.get(case["train"].get("clip_grad_mode"))
    step = torch.optim.AdamW.step
    before = {}

    def step_(self, *args, **kwargs):
        [vec] = self.param_groups[0]["params"]
        run.lr.append(self.param_groups[0]["lr"])
        run.grad_norm.append(before.pop("norm", vec.grad.norm().item()))
        return step(self, *args, **kwargs)

    torch.optim.AdamW.step = step_
    if clip:
        original = getattr(torch.nn.utils, clip)

        def clip_(vec, limit):
            before["norm"] = vec.grad.norm().item()
            run.clip.append(limit)
            return original(vec, limit)

        setattr(torch.nn.utils, clip, clip_)

    def undo():
        torch.optim.AdamW.step = step
        if clip:
            setattr(torch.nn.utils, clip, original)

    return undo


def prepare(work, use_weight, template):
    """The goldens' pictures; for a weighted run with an alpha channel, all but one."""
    for name in ("embeddings", "templates", "images", "log"):
        (work / name).mkdir()
    (work / "templates" / "plain.txt").write_text(template)
    for i, path in enumerate(sorted(IMAGES.glob("*.png"))):
        image = Image.open(path).convert("RGB")
        if use_weight and i != 1:
            y, x = np.mgrid[0 : image.height, 0 : image.width]
            alpha = 255 * np.exp(-((x - 20 - 8 * i) ** 2 + (y - 30) ** 2) / 400)
            image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
        image.save(work / "images" / path.name)


def run_case(name, root):
    case = CASES[name]
    base = "tiny-sd"
    train = {"gradient_step": 1, "clip_grad_mode": "disabled", "clip_grad_value": "0.1", "use_weight": False, **case["train"]}
    run = Run(base, train["gradient_step"])
    work = Path(tempfile.mkdtemp())
    prepare(work, train["use_weight"], case.get("template", "a photo of [name], [filewords]\n[name] style, [filewords]\n"))
    seed = 7000 + list(CASES).index(name)
    random.seed(seed)
    torch.manual_seed(seed)
    for key in [key for key in sys.modules if key == "modules" or key.startswith("modules.")]:
        del sys.modules[key]
    trainer, hijack, shared = webui(root, BASES[base], run, case, work)
    hijack.recording = False
    file = trainer.create_embedding(NAME, case["vectors"], False, init_text=case["init"])
    hijack.embedding_db.load_from_file(file, f"{NAME}.pt")
    initial = hijack.embedding_db.word_embeddings[NAME].vec.clone()
    started = Path(file).read_bytes()
    trainer.list_textual_inversion_templates()
    undo = listen(trainer, hijack, shared, run, case)
    hijack.recording = True
    try:
        embedding, file = trainer.train_embedding(
            "task",
            NAME,
            train["learn_rate"],
            train["batch_size"],
            train["gradient_step"],
            str(work / "images"),
            str(work / "log"),
            SIZE,
            SIZE,
            False,
            train["steps"],
            train["clip_grad_mode"],
            train["clip_grad_value"],
            False,
            0,
            train["latent_sampling_method"],
            train["use_weight"],
            0,
            0,
            "plain.txt",
            False,
            False,
            *("", "", 20, "Euler", 7, -1, SIZE, SIZE),
        )
    finally:
        undo()
    result = embedding.vec.detach().clone()
    optimizer = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
    repeated = repeat_in_float64(run, initial, optimizer, {"disabled": None}.get(train["clip_grad_mode"], train["clip_grad_mode"]), case["clip_skip"], webui=True)
    args = {
        "script": "AUTOMATIC1111/stable-diffusion-webui@82a973c modules/textual_inversion/textual_inversion.py: create_embedding, train_embedding",
        "script_args": {**train, "vectors": case["vectors"], "init_text": case["init"], "name": NAME, "seed": seed, "clip_skip": case["clip_skip"]},
        "around": "web server's modules and LatentDiffusion replaced as tools/replay/make_a1111.py says; networks and prompts are the same",
        "optimizer": optimizer,
        "placeholder_token_ids": [49408 + i for i in range(case["vectors"])],
    }
    extra = {}
    if case.get("wrong_context"):
        # Ids are required where a part of the text side is trained, and a context beside them must be ignored.
        extra = {"context": torch.full((train["batch_size"], 77, initial.shape[1]), 3.0)}
        args["context"] = "of every micro-step is wrong on purpose"
    save(name, run, args, initial, result, repeated, extra)
    folder = recording.FIXTURES / "replay" / name
    (folder / "initial.pt").write_bytes(started)


def main():
    root, *names = sys.argv[1:]
    for name in names or CASES:
        run_case(name, Path(root))


if __name__ == "__main__":
    main()
