"""Writes fixtures/hypernetwork from A1111's own code: modules of every kind, how they start, runs of training, files, pictures.

    python tools/hypernetwork/make_fixtures.py WEBUI [SD_SCRIPTS]

WEBUI: AUTOMATIC1111/stable-diffusion-webui v1.10.1, 82a973c04367123ae98bd9abdf80d9eda9b910e2 (AGPL 3; nothing of it is kept here). SD_SCRIPTS: kohya-ss/sd-scripts
48d368fa557731ad0488c07304dfeba8c07910eb, for the one file that it writes.
Made with Python 3.11, torch 2.15.0 (CPU), diffusers 0.42.1, transformers 5.23.0, safetensors 0.8.0. Without network.

modules.json, modules.safetensors: every activation, layer structures, layer norm: parameters, a context x, x + h(x) at multiplier 0.7 outside training; in training,
    the gradients of the sum of x + h(x) times `weight`. PyTorch's RReLU draws slopes then: `uniform`, as Chance says.
initial.json: moments of first weights.
NAME/: a run: initial.pt (A1111's), replay.safetensors, result.safetensors, run.json (settings; of each step loss, rate, norm before clipping; how far float64 is from it).
files/: as A1111 wrote them in 2022 (old names, no entries; use_dropout), kohya's list, `strong` and `other` with random weights; run `resumed` has its .optim.
pictures.safetensors: latents of DDIM, 6 steps, guidance 7.5, with hypernetworks of files/ at several multipliers.
"""

import copy
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTokenizer

torch.set_num_threads(1)

import a1111 as webui
from a1111 import BASE, FIXTURES, Chance, attach

OUT = FIXTURES / "hypernetwork"
WORK = Path(tempfile.mkdtemp())


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf8")


# Modules


def module_cases(a1111):
    refused = ("glu", "threshold", "multiheadattention")
    for name in ("linear", *(n for n in a1111.HypernetworkModule.activation_dict if n not in refused and n != "linear")):
        yield {"layer_structure": [1, 2, 1], "activation_func": name}
        yield {"layer_structure": [1, 1.5, 1], "activation_func": name, "activate_output": True}
    for structure in ([1, 1], [1, 0.3, 1], [1, 2, 2, 1], [1, 1.25, 3, 0.5, 1]):
        yield {"layer_structure": structure, "activation_func": "relu"}
        yield {"layer_structure": structure, "activation_func": "tanh", "add_layer_norm": True}
    yield {"layer_structure": [1, 2, 1], "activation_func": "prelu", "activate_output": True, "add_layer_norm": True}
    yield {"layer_structure": [1, 2, 2, 1], "activation_func": "swish", "activate_output": True, "add_layer_norm": True, "dropout_structure": [0, 0.2, 0.4, 0]}


def modules(a1111):
    cases, tensors = list(module_cases(a1111)), {}
    for i, case in enumerate(cases):
        torch.manual_seed(i)
        module = a1111.HypernetworkModule(4, None, weight_init="XavierNormal", **case)
        for parameter in module.parameters():
            parameter.data.add_(0.3 * torch.randn_like(parameter))
        # Of single-precision numbers, computed in double precision.
        module.double()
        place = type("Place", (), {"path": "layer"})
        chance = Chance(type("One", (), {"layers": {4: (module,)}}), place)
        # Far enough to pass every knee, 20 of softplus too.
        x = 4 * torch.randn(3, 3, 4)
        x[0, 0] *= 8
        x = x.double().requires_grad_()
        module.multiplier = 0.7
        tensors[f"{i}.x"] = x.detach().clone()
        tensors[f"{i}.out"] = module.eval()(x).detach()
        weight = tensors[f"{i}.weight"] = torch.randn(3, 3, 4).double()
        out = module.train()(x)
        tensors[f"{i}.trained_out"] = out.detach()
        (out * weight).sum().backward()
        tensors[f"{i}.grad.x"] = x.grad
        for name, parameter in module.named_parameters():
            tensors[f"{i}.{name}"] = parameter.detach()
            tensors[f"{i}.grad.{name}"] = parameter.grad
        for name, value in chance.drawn.items():
            tensors[f"{i}.draw.{name}"] = value
    save_file({name: value.float().contiguous().clone() for name, value in tensors.items()}, OUT / "modules.safetensors")
    write_json(OUT / "modules.json", cases)


def initial_moments(a1111):
    """Of one large module each: standard deviation, largest value, share within one standard deviation."""
    moments = []
    for init in ("Normal", "KaimingUniform", "KaimingNormal", "XavierUniform", "XavierNormal"):
        for activation in ("relu", "leakyrelu"):
            torch.manual_seed(5)
            module = a1111.HypernetworkModule(320, None, [1, 2, 1], activation, init, add_layer_norm=True)
            values = {}
            for name, value in module.state_dict().items():
                std = value.std().item()
                values[name] = {"mean": value.mean().item(), "std": std, "max": value.abs().max().item(), "within": (value.abs() <= std).double().mean().item()}
            moments.append({"weight_init": init, "activation_func": activation, "values": values})
    write_json(OUT / "initial.json", moments)


# Runs

RUNS = {
    "dropout": {"sizes": [16], "structure": "1, 2, 1.5, 1", "activation": "relu", "init": "KaimingNormal", "norm": True, "dropout": "0, 0.2, 0.3, 0", "lr": "0.01", "batch": 1, "side": 4, "steps": 3},
    "activated-output": {"sizes": [32, 12, 16], "structure": "1, 1.5, 1", "activation": "swish", "init": "KaimingUniform", "activate_output": True, "lr": "0.01:2, 3e-3", "clip_mode": "value", "clip": "0.01:2, 0.002", "batch": 2, "side": 8, "steps": 4},
    "prelu": {"sizes": [12], "structure": "1, 2, 1", "activation": "prelu", "init": "XavierUniform", "lr": "0.02", "clip_mode": "norm", "clip": "0.03", "batch": 2, "side": 8, "steps": 3, "accumulate": 2},
    "rrelu": {"sizes": [12], "structure": "1, 2, 1", "activation": "rrelu", "init": "XavierNormal", "lr": "0.01", "batch": 1, "side": 4, "steps": 3},
    "softmax": {"sizes": [12], "structure": "1, 1, 1", "activation": "softmax", "init": "XavierNormal", "lr": "0.01", "batch": 3, "side": 4, "steps": 3},
    "resumed": {"sizes": [12, 16], "structure": "1, 1, 1", "activation": "elu", "init": "XavierNormal", "norm": True, "lr": "0.01:2, 5e-3:4, 2e-3", "batch": 2, "side": 8, "steps": 6, "saved_after": 3},
}


def schedule_in_float64():
    config = json.loads((BASE / "scheduler" / "scheduler_config.json").read_text())
    steps = config["num_train_timesteps"]
    betas = np.linspace(config["beta_start"] ** 0.5, config["beta_end"] ** 0.5, steps, dtype=np.float64) ** 2
    alphas = torch.from_numpy(np.cumprod(1 - betas))
    return (alphas**0.5).float(), ((1 - alphas) ** 0.5).float()


def create(a1111, name, case):
    a1111.create_hypernetwork(
        name, case["sizes"], True, case["structure"], case["activation"], case["init"], case.get("norm", False), "dropout" in case, case.get("dropout")
    )
    hypernetwork = a1111.Hypernetwork()
    path = WORK / f"{name}.pt"
    hypernetwork.load(str(path))
    if case.get("activate_output"):
        # The web page has no switch for it; files have.
        state = torch.load(path)
        torch.save({**state, "activate_output": True}, path)
        hypernetwork = a1111.Hypernetwork()
        hypernetwork.load(str(path))
    return hypernetwork, path


def train(a1111, hypernetwork, case, dtype, steps, recorded=None):
    """The loop of train_hypernetwork: optimizer, rates, clipping. Gives records of micro-steps and what each step said."""
    torch.set_default_dtype(dtype)
    accumulate = case.get("accumulate", 1)
    unet = UNet2DConditionModel.from_pretrained(BASE / "unet").to(dtype).requires_grad_(False)
    place = attach(a1111, unet, [hypernetwork])
    for pair in hypernetwork.layers.values():
        for module in pair:
            module.to(dtype)
    signal, noisy = (table.to(dtype) for table in schedule_in_float64())
    weights = hypernetwork.weights()
    hypernetwork.train()
    rates = a1111.LearnRateScheduler(case["lr"], case["steps"], hypernetwork.step, verbose=False)
    limits = a1111.LearnRateScheduler(case["clip"], case["steps"], hypernetwork.step, verbose=False) if "clip" in case else None
    optimizer = torch.optim.AdamW(params=weights, lr=rates.learn_rate)
    if hypernetwork.optimizer_state_dict:
        optimizer.load_state_dict(hypernetwork.optimizer_state_dict)
    # It is one object, so that draws of a micro-step can be exchanged.
    chance = Chance(hypernetwork, place, None if recorded is None else {})
    records, said = [], []
    for _ in range(steps):
        rates.apply(optimizer, hypernetwork.step)
        if limits:
            limits.step(hypernetwork.step)
        losses = []
        for _ in range(accumulate):
            k = len(records)
            if recorded is None:
                side, batch = case["side"], case["batch"]
                record = {
                    "latents": 0.8 * torch.randn(batch, 4, side, side),
                    "context": torch.randn(batch, 6, 12),
                    "noise": torch.randn(batch, 4, side, side),
                    "timesteps": torch.randint(0, 1000, (batch,)),
                }
            else:
                record = recorded[k]
                chance.recorded = record
            t = record["timesteps"]
            at = lambda table: table[t].reshape(-1, 1, 1, 1)
            x, noise = record["latents"].to(dtype), record["noise"].to(dtype)
            out = unet(at(signal) * x + at(noisy) * noise, t, record["context"].to(dtype)).sample
            loss = torch.nn.functional.mse_loss(noise, out)
            losses.append(loss.item())
            (loss / accumulate).backward()
            records.append({**record, **chance.drawn})
            chance.drawn = {}
        norm = torch.cat([w.grad.flatten() for w in weights if w.grad is not None]).norm().item()
        if limits:
            clip = torch.nn.utils.clip_grad_value_ if case["clip_mode"] == "value" else torch.nn.utils.clip_grad_norm_
            clip(weights, limits.learn_rate)
        said.append({"losses": losses, "lr": optimizer.param_groups[0]["lr"], "grad_norm": norm})
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        hypernetwork.step += 1
    hypernetwork.eval()
    hypernetwork.optimizer_name = "AdamW"
    hypernetwork.optimizer_state_dict = optimizer.state_dict()
    torch.set_default_dtype(torch.float32)
    return records, said


def flat(hypernetwork):
    return {f"{width}.{i}.{key}": value.detach().clone() for width, pair in hypernetwork.layers.items() for i, module in enumerate(pair) for key, value in module.state_dict().items()}


def run(a1111, name):
    case = RUNS[name]
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(90 + list(RUNS).index(name))
    hypernetwork, path = create(a1111, name, case)
    if name == "resumed":
        # A1111 hashes the file that it loaded at first, so it is told of the one that it writes.
        records, said = train(a1111, hypernetwork, case, torch.float32, case["saved_after"])
        saved = folder / "initial.pt"
        hypernetwork.filename = str(saved)
        hypernetwork.save(str(saved))
        hypernetwork = a1111.Hypernetwork()
        hypernetwork.load(str(saved))
        assert hypernetwork.optimizer_state_dict and hypernetwork.step == case["saved_after"]
        first = case["saved_after"]
    else:
        shutil.copyfile(path, folder / "initial.pt")
        records, said, first = [], [], 0
    initial = flat(hypernetwork)
    # The optimizer goes on in these very tensors.
    optimizer_state = copy.deepcopy(hypernetwork.optimizer_state_dict)
    more, told = train(a1111, hypernetwork, case, torch.float32, case["steps"] - first)
    records, said = records + more, said + told
    result = flat(hypernetwork)
    again = a1111.Hypernetwork()
    again.load(str(folder / "initial.pt"))
    again.optimizer_state_dict = optimizer_state
    _, exact = train(a1111, again, case, torch.float64, case["steps"] - first, more)
    exact_result = flat(again)
    save_file({f"{k}.{key}": value.contiguous().clone() for k, record in enumerate(records) for key, value in record.items()}, folder / "replay.safetensors")
    save_file({key: value.contiguous() for key, value in result.items()}, folder / "result.safetensors")
    size = lambda values: torch.cat([value.double().flatten() for value in values]).norm().item()
    errors = {key: exact_result[key] - result[key].double() for key in result}
    moves = {key: result[key].double() - initial[key].double() for key in result}
    # Gradients that are zero in exact arithmetic: Adam makes steps of their rounding noise.
    ill = [key for key in result if size([errors[key]]) > 0.05 * size([moves[key]])]
    sound = [key for key in result if key not in ill]
    error = size([errors[key] for key in sound]) / size([moves[key] for key in sound])
    loss_error = max(abs(a - b) for x, y in zip(exact, told) for a, b in zip(x["losses"], y["losses"]))
    tolerance = {
        "relative_error_of_update": max(1e-4, 10 * error),
        "worst_tensor": max(1e-3, 10 * max(size([errors[key]]) / size([moves[key]]) for key in sound)),
        "loss_abs": max(2e-5, 10 * loss_error),
        "grad_norm_relative": max(1e-4, 10 * max(abs(x["grad_norm"] / y["grad_norm"] - 1) for x, y in zip(exact, told))),
    }
    write_json(folder / "run.json", {"settings": case, "steps": said, "ill_conditioned": ill, "relative_error_of_update_in_float64": error, "tolerance": tolerance})
    print(f"{name}: float64 leads {error:.1e} away, {len(ill)} of {len(result)} ill, {sum(p.stat().st_size for p in folder.iterdir())} bytes", flush=True)


# Files and pictures


def files(a1111, scripts):
    folder = OUT / "files"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(77)
    strong = {"sizes": [12, 16, 32], "structure": "1, 2, 1", "activation": "relu", "init": "XavierNormal"}
    other = {"sizes": [12, 16, 32], "structure": "1, 1.5, 1", "activation": "rrelu", "init": "KaimingUniform", "dropout": "0, 0.1, 0"}
    for name, case in {"strong": strong, "other": other}.items():
        hypernetwork, path = create(a1111, name, case)
        hypernetwork.optimizer_name = None
        hypernetwork.step = 1234
        hypernetwork.sd_checkpoint, hypernetwork.sd_checkpoint_name = "0123abcdef", "tiny-sd"
        hypernetwork.save(str(folder / f"{name}.pt"))
    # What A1111 wrote in October 2022: its loader renames linear1 and linear2.
    old = {12: tuple({"linear1.weight": torch.randn(24, 12), "linear1.bias": torch.randn(24), "linear2.weight": torch.randn(12, 24), "linear2.bias": torch.randn(12)} for _ in range(2))}
    torch.save(old, folder / "old.pt")
    dropout = a1111.Hypernetwork("legacy", [12], [1, 1, 1, 1, 1], "relu", "XavierNormal", use_dropout=True, last_layer_dropout=False)
    dropout.save(str(folder / "legacy.pt"))
    state = torch.load(folder / "legacy.pt")
    torch.save({key: value for key, value in state.items() if key not in ("dropout_structure", "optional_info", "activate_output")}, folder / "legacy.pt")
    loaded = a1111.Hypernetwork()
    loaded.load(str(folder / "legacy.pt"))
    outputs = {"x": torch.randn(1, 3, 12)}
    for name in ("strong", "other", "old", "legacy"):
        hypernetwork = a1111.Hypernetwork()
        hypernetwork.load(str(folder / f"{name}.pt"))
        hypernetwork.set_multiplier(0.6)
        outputs[f"{name}.k"], outputs[f"{name}.v"] = a1111.apply_hypernetworks([hypernetwork], outputs["x"])
    if scripts:
        spec = importlib.util.spec_from_file_location("nai", scripts / "finetune" / "hypernetwork_nai.py")
        nai = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(nai)
        nai.Hypernetwork.enable_sizes = [12]
        kohya = nai.Hypernetwork(0.6)
        torch.save(kohya.get_state_dict(), folder / "kohya.pt")
        outputs["kohya.k"], outputs["kohya.v"] = kohya.forward(None, outputs["x"])
    save_file({key: value.detach().contiguous().clone() for key, value in outputs.items()}, OUT / "files.safetensors")
    write_json(OUT / "files.json", {"legacy": {"dropout_structure": loaded.dropout_structure, "activate_output": loaded.activate_output}})


def pictures(a1111):
    torch.manual_seed(31)
    tokenizer = CLIPTokenizer.from_pretrained(BASE / "tokenizer")
    text = CLIPTextModel.from_pretrained(BASE / "text_encoder").eval()
    ids = {key: tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt").input_ids for key, prompt in {"cond_ids": "a photo of a cup on a table", "uncond_ids": "blurry"}.items()}
    start = torch.randn(1, 4, 8, 8)
    tensors = {**ids, "latents": start}
    loaded = {}
    for name in ("strong", "other"):
        loaded[name] = a1111.Hypernetwork()
        loaded[name].load(str(OUT / "files" / f"{name}.pt"))
    wanted = {"none": [], "strong": [("strong", 1)], "strong weakly": [("strong", 0.35)], "other backwards": [("other", -0.5)], "strong, other": [("strong", 0.8), ("other", 0.6)], "other, strong": [("other", 0.6), ("strong", 0.8)]}
    with torch.no_grad():
        context = torch.cat([text(ids[key]).last_hidden_state for key in ("uncond_ids", "cond_ids")])
        for name, applied in wanted.items():
            unet = UNet2DConditionModel.from_pretrained(BASE / "unet").eval()
            attach(a1111, unet, [loaded[which].set_multiplier(strength) for which, strength in applied])
            scheduler = DDIMScheduler.from_pretrained(BASE / "scheduler")
            scheduler.set_timesteps(6)
            latents = start * scheduler.init_noise_sigma
            for t in scheduler.timesteps:
                uncond, cond = unet(torch.cat([latents] * 2), t, context).sample.chunk(2)
                latents = scheduler.step(uncond + 7.5 * (cond - uncond), t, latents).prev_sample
            tensors[f"result {name}"] = latents
            print(f"pictures: {name}: {(latents - tensors['result none']).abs().max():.2e} from none", flush=True)
    save_file({key: value.contiguous().clone() for key, value in tensors.items()}, OUT / "pictures.safetensors")


def main():
    root, *rest = (Path(path) for path in sys.argv[1:])
    OUT.mkdir(exist_ok=True)
    a1111 = webui.load(root, WORK)
    modules(a1111)
    initial_moments(a1111)
    for name in RUNS:
        run(a1111, name)
    files(a1111, rest[0] if rest else None)
    pictures(a1111)
    for path in OUT.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    print(f"{sum(path.stat().st_size for path in OUT.rglob('*') if path.is_file())} bytes")


if __name__ == "__main__":
    main()
