"""Writes fixtures/lora: short trainings of LoRA and its relatives by PEFT, by LyCORIS and by kohya's network, on a few layers of goldens/tiny-sd.

    python tools/lora/make_fixtures.py SD_SCRIPTS [CASE ...]

SD_SCRIPTS: a copy of kohya-ss/sd-scripts at 48d368fa557731ad0488c07304dfeba8c07910eb (Apache 2.0), whose networks/lora.py is used as it is.
Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, peft 0.21.2, lycoris-lora 4.1.3, safetensors 0.8.0. Without network.

Each case is trained twice from the same start on the same draws, in float64 and in float32: the former is what is expected, their difference is what rounding does. Files:
replay.safetensors (what a run is fed) or CASE.replay.safetensors (the same with dropout's uniform numbers, by our names), CASE.initial.safetensors and CASE.result.safetensors (the
network, as its own code saves it), latents.safetensors (where a sampler ends with the trained network) and cases.json.
"""

import json
import math
import os
import sys
import types
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import torch.nn.functional as F

torch.set_num_threads(1)

from diffusers import DDIMScheduler, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from lycoris.modules.full import FullModule
from lycoris.modules.ia3 import IA3Module
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from peft import IA3Config, LoHaConfig, LoKrConfig, LoraConfig, get_peft_model_state_dict, inject_adapter_in_model
from safetensors.torch import save_file
from transformers import CLIPTextModel

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
BASE = FIXTURES / "goldens" / "tiny-sd"
OUT = FIXTURES / "lora"
STEPS, BATCH, TOKENS = 3, 2, 6
RAND, DROPOUT = torch.rand, F.dropout

to_k = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
to_out = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0"
feed = "unet.down_blocks.1.attentions.0.transformer_blocks.0.ff.net.2"
proj = "unet.down_blocks.1.attentions.0.proj_in"
conv = "unet.down_blocks.0.resnets.0.conv1"
down = "unet.down_blocks.0.downsamplers.0.conv"
time = "unet.down_blocks.2.resnets.0.time_emb_proj"
norms = ["unet.down_blocks.1.attentions.0.transformer_blocks.0.norm3", "unet.down_blocks.0.resnets.0.norm1"]
query = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
MIXED = [to_k, feed, proj, conv, down]


def peft_case(config, layers, options, **training):
    return {"tool": "peft", "config": config, "layers": layers, "options": options, **training}


def lycoris_case(module, layers, options, arguments=None, **training):
    return {"tool": "lycoris", "module": module, "layers": layers, "options": options, "arguments": arguments or {}, **training}


# `options`: what the same network is called here. `arguments`, `config`: what the other program is told.
CASES = {
    "peft-lora": peft_case(lambda t: LoraConfig(r=3, lora_alpha=6, target_modules=t), MIXED, {"rank": 3, "alpha": 6}),
    "peft-rs-lora": peft_case(lambda t: LoraConfig(r=4, lora_alpha=3, use_rslora=True, target_modules=t), [to_k, to_out], {"rank": 4, "alpha": 3, "rsLora": True}),
    "peft-dropout": peft_case(lambda t: LoraConfig(r=2, lora_alpha=2, lora_dropout=0.3, target_modules=t), [to_k, feed, conv], {"rank": 2, "dropout": 0.3}),
    "peft-dora": peft_case(lambda t: LoraConfig(r=2, lora_alpha=4, use_dora=True, target_modules=t), MIXED, {"rank": 2, "alpha": 4, "dora": True}),
    "peft-loha": peft_case(lambda t: LoHaConfig(r=2, alpha=3, target_modules=t, init_weights=False), [to_k, feed, conv], {"algorithm": "loha", "rank": 2, "alpha": 3}),
    "peft-lokr": peft_case(lambda t: LoKrConfig(r=1, alpha=3, target_modules=t, decompose_both=True, init_weights="lycoris"), [to_k, feed, conv], {"algorithm": "lokr", "rank": 1, "alpha": 3, "decomposeBoth": True}),
    "peft-ia3": peft_case(lambda t: IA3Config(target_modules=t, feedforward_modules=[feed.removeprefix("unet.")]), [to_k, feed], {"algorithm": "ia3"}, weight_decay=0.0),
    "lycoris-locon": lycoris_case(LoConModule, MIXED + [time, query], {"rank": 3, "alpha": 2, "convAlpha": 2}, {"lora_dim": 3, "alpha": 2.0}),
    "lycoris-locon-core": lycoris_case(LoConModule, [conv, down], {"rank": 2, "alpha": 1, "tucker": True, "convAlpha": 1}, {"lora_dim": 2, "alpha": 1.0, "use_tucker": True}),
    "lycoris-rs-lora": lycoris_case(LoConModule, [to_k, conv], {"rank": 4, "alpha": 3, "rsLora": True, "convAlpha": 3}, {"lora_dim": 4, "alpha": 3.0, "rs_lora": True}),
    "lycoris-dora": lycoris_case(LoConModule, MIXED, {"rank": 2, "alpha": 3, "dora": True}, {"lora_dim": 2, "alpha": 3.0, "weight_decompose": True}),
    "lycoris-loha": lycoris_case(LohaModule, MIXED + [query], {"algorithm": "loha", "rank": 2, "alpha": 3}, {"lora_dim": 2, "alpha": 3.0}),
    "lycoris-loha-core": lycoris_case(LohaModule, [conv, down], {"algorithm": "loha", "rank": 2, "alpha": 1, "tucker": True}, {"lora_dim": 2, "alpha": 1.0, "use_tucker": True}),
    "lycoris-loha-dora": lycoris_case(LohaModule, [to_k, conv], {"algorithm": "loha", "rank": 2, "alpha": 2, "dora": True}, {"lora_dim": 2, "alpha": 2.0, "weight_decompose": True}),
    "lycoris-lokr": lycoris_case(LokrModule, MIXED, {"algorithm": "lokr", "rank": 1, "alpha": 2}, {"lora_dim": 1, "alpha": 2.0}),
    "lycoris-lokr-both": lycoris_case(LokrModule, [feed, conv, to_k], {"algorithm": "lokr", "rank": 1, "alpha": 3, "factor": 4, "decomposeBoth": True}, {"lora_dim": 1, "alpha": 3.0, "factor": 4, "decompose_both": True}),
    "lycoris-lokr-core": lycoris_case(LokrModule, [conv, down], {"algorithm": "lokr", "rank": 1, "alpha": 1, "tucker": True}, {"lora_dim": 1, "alpha": 1.0, "use_tucker": True}),
    "lycoris-lokr-dora": lycoris_case(LokrModule, [to_k, conv], {"algorithm": "lokr", "rank": 8, "alpha": 1, "dora": True}, {"lora_dim": 8, "alpha": 1.0, "weight_decompose": True}),
    "lycoris-ia3": lycoris_case(IA3Module, [to_k, feed, query], {"algorithm": "ia3"}),
    "lycoris-loha-dropout": lycoris_case(LohaModule, [to_k, feed, conv], {"algorithm": "loha", "rank": 2, "alpha": 2, "rankDropout": 0.25, "moduleDropout": 0.3}, {"lora_dim": 2, "alpha": 2.0, "rank_dropout": 0.25, "module_dropout": 0.3}),
    "kohya": {"tool": "kohya", "layers": MIXED + [time, query], "options": {"rank": 3, "alpha": 2, "convRank": 2, "convAlpha": 1}},
    "kohya-dropout": {
        "tool": "kohya",
        "layers": [to_k, feed, conv, time, query],
        "options": {"rank": 3, "alpha": 2, "convRank": 2, "convAlpha": 1, "dropout": 0.2, "rankDropout": 0.25, "moduleDropout": 0.3},
    },
}
# Read, but not trained here: only where a sampler ends with them.
READ = {
    # PEFT's own backward of this is wrong (HadaWeightCP: the gradients of w1_a and w2_a are not those that autograd finds).
    "peft-loha-core": peft_case(lambda t: LoHaConfig(r=2, alpha=3, target_modules=t, init_weights=False, use_effective_conv2d=True), [proj, down], None),
    "lycoris-full": lycoris_case(FullModule, [to_k, feed, conv], None),
    "lycoris-norm": lycoris_case(NormModule, norms, None),
    "lycoris-dora-columns": lycoris_case(LoConModule, [to_k, conv], None, {"lora_dim": 2, "alpha": 2.0, "weight_decompose": True, "wd_on_out": False}),
}


class Draws:
    """Uniform numbers by step and our names, made when first asked for."""

    def __init__(self):
        self.begin()

    def begin(self):
        self.generator = torch.Generator().manual_seed(77)
        self.known = {}
        self.shapes = {}
        self.step = self.layer = None

    def uniform(self, name, shape, step=None):
        key = (self.step if step is None else step, name)
        self.shapes[name] = list(shape)
        if key not in self.known:
            self.known[key] = RAND(tuple(shape), generator=self.generator, dtype=torch.float32)
        return self.known[key]

    def complete(self):
        """A layer that was left out drew nothing else; a record has every draw at every step."""
        for name, shape in self.shapes.items():
            for step in range(STEPS):
                self.uniform(name, shape, step)
        return {f"{step}.{name}": value for (step, name), value in self.known.items()}


draws = Draws()


def listening():
    """torch.rand and dropout, answered by `draws` for the layer that is running."""
    def rand_(*shape, **options):
        if draws.layer is None:
            return RAND(*shape, **options)
        shape = shape[0] if isinstance(shape[0], (tuple, list)) else shape
        if tuple(shape) == (1,):
            return draws.uniform(f"{draws.layer}.module_dropout", [])
        return draws.uniform(f"{draws.layer}.rank_dropout", shape)

    def dropout_(x, p=0.5, training=True, inplace=False):
        if draws.layer is None or not training:
            return DROPOUT(x, p, training, inplace)
        kept = draws.uniform(f"{draws.layer}.dropout", x.shape) >= p
        return x * kept / (1 - p)

    torch.rand, F.dropout, torch.nn.functional.dropout = rand_, dropout_, dropout_


def models(dtype):
    unet = UNet2DConditionModel.from_pretrained(BASE / "unet").to(dtype).requires_grad_(False)
    text = CLIPTextModel.from_pretrained(BASE / "text_encoder").to(dtype).requires_grad_(False)
    return unet, text


def layer_of(unet, text, path):
    root, inner = path.split(".", 1)
    if root == "unet":
        return unet.get_submodule(inner)
    return text.get_submodule(inner if hasattr(text, "text_model") else inner.removeprefix("text_model."))


def kohya_name(path):
    return path.replace("unet.", "lora_unet_", 1).replace("text_encoder.", "lora_te_", 1).replace(".", "_")


def announce(module, path):
    """Says which layer runs, while it runs."""
    forward = module.forward

    def forward_(*args, **kwargs):
        draws.layer = path
        try:
            return forward(*args, **kwargs)
        finally:
            draws.layer = None

    module.forward = forward_


class Network:
    """Networks by LyCORIS' or kohya's modules."""

    def __init__(self, case, unet, text, dtype, lora_module):
        self.modules = {}
        self.text = any(path.startswith("text_encoder") for path in case["layers"])
        for path in case["layers"]:
            layer = layer_of(unet, text, path)
            if case["tool"] == "kohya":
                o = case["options"]
                kernel = getattr(layer, "kernel_size", (1, 1))
                rank, alpha = (o["rank"], o["alpha"]) if kernel == (1, 1) else (o["convRank"], o["convAlpha"])
                made = lora_module(kohya_name(path), layer, 1.0, rank, float(alpha), o.get("dropout"), o.get("rankDropout"), o.get("moduleDropout"))
            else:
                arguments = dict(case["arguments"])
                if case["module"] is IA3Module:
                    arguments["train_on_input"] = path == feed
                made = case["module"](kohya_name(path), layer, 1.0, **arguments)
            made = made.to(dtype)
            announce(made, path)
            made.apply_to()
            self.modules[path] = made

    def parameters(self):
        return [p for made in self.modules.values() for p in made.parameters() if p.requires_grad]

    def train(self, mode):
        for made in self.modules.values():
            made.train(mode)

    def file(self):
        return {
            f"{kohya_name(path)}.{name}": value.detach().clone()
            for path, made in self.modules.items()
            for name, value in made.state_dict().items()
            if not name.startswith("org_module")
        }


class PeftNetwork:
    def __init__(self, case, unet):
        self.config = case["config"]([path.removeprefix("unet.") for path in case["layers"]])
        self.unet = inject_adapter_in_model(self.config, unet)
        self.text = False
        for path in case["layers"]:
            announce(unet.get_submodule(path.removeprefix("unet.")), path)
        for name, p in unet.named_parameters():
            p.requires_grad_(any(part in name for part in ("lora_", "hada_", "lokr_", "ia3_")))

    def parameters(self):
        return [p for p in self.unet.parameters() if p.requires_grad]

    def train(self, mode):
        self.unet.train(mode)

    def file(self):
        return {f"unet.{name}": value.detach().clone() for name, value in get_peft_model_state_dict(self.unet).items()}


def make(case, dtype, lora_module):
    # Everything is made in float32, so that both trainings begin alike.
    unet, text = models(torch.float32)
    torch.manual_seed(11)
    network = PeftNetwork(case, unet) if case["tool"] == "peft" else Network(case, unet, text, torch.float32, lora_module)
    with torch.no_grad():
        for p in network.parameters():
            # What starts as zero (or one) would not show where a factor is missing.
            if case.get("module") is FullModule or float(p.std()) == 0:
                p.add_(torch.randn(p.shape) * 0.05)
    unet.to(dtype)
    text.to(dtype)
    for made in getattr(network, "modules", {}).values():
        made.to(dtype)
    return unet, text, network


def train(case, dtype, inputs, lora_module):
    unet, text, network = make(case, dtype, lora_module)
    initial = network.file()
    settings = {"lr": 1e-2, "weight_decay": case.get("weight_decay", 0.01)}
    adamw = torch.optim.AdamW(network.parameters(), **settings)
    schedule = DDPMScheduler.from_pretrained(BASE / "scheduler")
    alphas = schedule.alphas_cumprod.double()
    network.train(True)
    losses, norms = [], []
    for step in range(STEPS):
        draws.step = step
        given = {name: inputs[f"{step}.{name}"] for name in ("latents", "noise", "timesteps", "input_ids")}
        t = given["timesteps"]
        signal, noisy = ((a[t].sqrt()).reshape(-1, 1, 1, 1).to(dtype) for a in (alphas, 1 - alphas))
        context = text(given["input_ids"]).last_hidden_state
        noise = given["noise"].to(dtype)
        out = unet(signal * given["latents"].to(dtype) + noisy * noise, t, context).sample
        loss = F.mse_loss(out, noise)
        adamw.zero_grad()
        loss.backward()
        for p in network.parameters():
            if p.grad is None:
                # A layer that was left out: AdamW would pass it over at this step; a gradient of zero lets its moments decay, as here.
                p.grad = torch.zeros_like(p)
        losses.append(loss.item())
        norms.append(math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in network.parameters())))
        adamw.step()
    draws.step = None
    network.train(False)
    return initial, network, unet, text, losses, norms


def final_latents(unet, text, start):
    """Where ten steps of DDIM end, in float32."""
    pipe = StableDiffusionPipeline.from_pretrained(BASE, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.unet, pipe.text_encoder = unet, text
    with torch.no_grad():
        return pipe("a photo of a cup", negative_prompt="", latents=start, num_inference_steps=10, guidance_scale=7.5, output_type="latent").images


def inputs_of(generator):
    normal = lambda *shape: torch.randn(shape, generator=generator)
    found = {}
    for step in range(STEPS):
        found[f"{step}.latents"] = normal(BATCH, 4, 8, 8)
        found[f"{step}.noise"] = normal(BATCH, 4, 8, 8)
        found[f"{step}.timesteps"] = torch.randint(0, 1000, (BATCH,), generator=generator)
        words = torch.randint(300, 40000, (BATCH, TOKENS - 2), generator=generator)
        ends = torch.tensor([[49406, 49407]]).expand(BATCH, 2)
        found[f"{step}.input_ids"] = torch.cat([ends[:, :1], words, ends[:, 1:]], 1).contiguous()
    return found


def difference(a, b, start):
    squares = lambda x, y: sum(float(((x[name].double() - y[name].double()) ** 2).sum()) for name in x)
    return math.sqrt(squares(a, b) / squares(b, start))


def stored(tensors):
    return {name: (value.float() if value.is_floating_point() else value).contiguous() for name, value in tensors.items()}


def save(tensors, name, metadata=None):
    path = OUT / f"{name}.safetensors"
    save_file(stored(tensors), path, metadata)
    path.chmod(0o644)


def metadata_of(case, network):
    if case["tool"] != "peft":
        return None
    config = {f"unet.{key}": value for key, value in network.config.to_dict().items() if isinstance(value, (int, float, bool))}
    return {"format": "pt", "lora_adapter_metadata": json.dumps(config)}


def main():
    scripts, *names = sys.argv[1:]
    sys.path.insert(0, scripts)
    # networks/lora.py wants this for SDXL only.
    sys.modules["library.sdxl_original_unet"] = types.ModuleType("sdxl")
    sys.modules["library.sdxl_original_unet"].SdxlUNet2DConditionModel = type("Nothing", (), {})
    utils = sys.modules["library.utils"] = types.ModuleType("utils")
    utils.setup_logging = lambda *_, **__: None
    from networks.lora import LoRAModule

    OUT.mkdir(exist_ok=True)
    inputs = inputs_of(torch.Generator().manual_seed(5))
    start = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(6))
    listening()
    told, ends = {}, {"start": start}
    unet, text = models(torch.float32)
    ends["base"] = final_latents(unet, text, start)
    for name, case in CASES.items():
        if names and name not in names:
            continue
        draws.begin()
        initial, network, _, _, losses, norms = train(case, torch.float64, inputs, LoRAModule)
        result = network.file()
        first, single, unet, text, losses32, _ = train(case, torch.float32, inputs, LoRAModule)
        numbers = [key for key in result if not key.endswith((".alpha", ".on_input"))]
        pick = lambda tensors: {key: tensors[key] for key in numbers}
        noise = difference(pick(single.file()), pick(result), pick(initial))
        assert difference(pick(first), pick(initial), pick(result)) == 0
        metadata = metadata_of(case, single)
        save(initial, f"{name}.initial", metadata)
        save(result, f"{name}.result", metadata)
        drawn = draws.complete()
        dropped = any("ropout" in key for key in case["options"])
        if dropped:
            save({**inputs, **drawn}, f"{name}.replay")
        ends[name] = final_latents(unet, text, start)
        told[name] = {
            "tool": case["tool"],
            "options": case["options"],
            "targets": case["layers"],
            "dropped": dropped,
            "weightDecay": case.get("weight_decay", 0.01),
            "losses": losses,
            "gradNorms": norms,
            "noise": {"update": noise, "loss": max(abs(a - b) for a, b in zip(losses, losses32))},
        }
        print(f"{name:22} noise {noise:.1e}  losses {[round(x, 4) for x in losses]}  latents move by {(ends[name] - ends['base']).abs().max():.3f}", flush=True)
    for name, case in READ.items():
        if names and name not in names:
            continue
        unet, text, network = make(case, torch.float32, LoRAModule)
        network.train(False)
        save(network.file(), name, metadata_of(case, network))
        ends[name] = final_latents(unet, text, start)
        print(f"{name:22} latents move by {(ends[name] - ends['base']).abs().max():.3f}", flush=True)
    if names:
        return
    save(inputs, "replay")
    save(ends, "latents")
    (OUT / "cases.json").write_text(json.dumps(told, indent=1) + "\n")
    print(sum(path.stat().st_size for path in OUT.iterdir()), "bytes")


if __name__ == "__main__":
    main()
