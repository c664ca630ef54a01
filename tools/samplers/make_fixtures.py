"""Writes fixtures/samplers/*.json: trajectories of diffusers' schedulers on a toy denoiser, for packages/models/test/samplers.

    python tools/samplers/make_fixtures.py

Made with Python 3.11, diffusers 0.42.1, torch 2.15.0, numpy 2.4.6.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, PNDMScheduler

OUT = Path(__file__).resolve().parents[2] / "fixtures" / "samplers"
SD1 = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
CLASSES = {
    "ddim": (DDIMScheduler, dict(clip_sample=False, set_alpha_to_one=False)),
    "euler": (EulerDiscreteScheduler, {}),
    "euler-a": (EulerAncestralDiscreteScheduler, {}),
    "plms": (PNDMScheduler, dict(skip_prk_steps=True, set_alpha_to_one=False)),
    "dpmpp-2m": (DPMSolverMultistepScheduler, dict(solver_order=2, algorithm_type="dpmsolver++", solver_type="midpoint")),
}
LATENTS = torch.tensor([0.4967, -0.1383, 0.6477, 1.523, -0.2342, -1.9128])


def scheduler(name: str, **more):
    cls, config = CLASSES[name]
    return cls(**{**SD1, **config, **more})


def denoise(x: torch.Tensor, t: float, prediction: str) -> torch.Tensor:
    """A smooth stand-in for a U-Net, in double precision (the test has the same)."""
    x = x.double()
    if prediction == "epsilon":
        alpha = np.cos(0.0015 * t) ** 2
        out = x * np.sqrt(1 - alpha + 1e-4) / (0.25 * alpha + 1 - alpha) + 0.1 * torch.sin(3 * x + t / 50)
    else:
        out = x * t / 1500 - 0.2 * torch.sin(2 * x + t / 70)
    return out.float()


def noise(step: int) -> torch.Tensor:
    return torch.tensor([np.cos(7 * step + i * i) * 1.3 for i in range(len(LATENTS))], dtype=torch.float64).float()


def f32(values) -> list[float]:
    return [float(str(np.float32(v))) for v in np.asarray(values, dtype=np.float32)]


def trajectory(name: str, steps: int, **more) -> dict:
    s = scheduler(name, **more)
    s.set_timesteps(steps)
    # The ancestral scheduler draws inside its step; it is handed our noise there.
    drawn = iter(range(10**6))
    if name == "euler-a":
        import diffusers.schedulers.scheduling_euler_ancestral_discrete as module

        module.randn_tensor = lambda *a, **k: noise(next(drawn))
    x = LATENTS * s.init_noise_sigma
    states = []
    for t in s.timesteps:
        out = denoise(s.scale_model_input(x, t), float(t), s.config.prediction_type)
        x = s.step(out, t, x, return_dict=False)[0]
        states.append(x)
    keep = sorted({0, len(states) // 2, len(states) - 1})
    result = {"timesteps": f32(s.timesteps), "init_noise_sigma": f32([s.init_noise_sigma])[0], "states": {k: f32(states[k]) for k in keep}}
    if name not in ("ddim", "plms"):
        result["sigmas"] = f32(s.sigmas)
    return result


def trajectories() -> list[dict]:
    cases = []

    def add(name: str, steps: int, **more):
        cases.append({"sampler": name, "steps": steps, "config": more, **trajectory(name, steps, **more)})

    for name in CLASSES:
        for spacing in ("leading", "linspace", "trailing"):
            for steps in (1, 2, 5, 10, 30):
                add(name, steps, timestep_spacing=spacing)
            add(name, 10, timestep_spacing=spacing, prediction_type="v_prediction")
        add(name, 6, timestep_spacing="leading", beta_schedule="linear", beta_start=1e-4, beta_end=0.02, steps_offset=0)
        add(name, 7, timestep_spacing="trailing", num_train_timesteps=350)
    for name in ("ddim", "plms"):
        add(name, 5, timestep_spacing="leading", set_alpha_to_one=True)
    for name in ("euler", "dpmpp-2m"):
        for steps in (1, 2, 5, 10, 30):
            add(name, steps, timestep_spacing="linspace", use_karras_sigmas=True)
        add(name, 10, timestep_spacing="leading", use_karras_sigmas=True)
        add(name, 10, timestep_spacing="trailing", use_karras_sigmas=True, prediction_type="v_prediction")
    for name in ("ddim", "euler", "euler-a", "dpmpp-2m"):
        add(name, 10, timestep_spacing="trailing", prediction_type="v_prediction", rescale_betas_zero_snr=True)
    return cases


def every_step_count() -> list[dict]:
    """Timesteps for every number of steps, as one hash; left out are those where diffusers gives another number of timesteps or refuses."""
    results = []
    for name in ("ddim", "euler", "dpmpp-2m"):
        for spacing in ("leading", "linspace", "trailing"):
            digest = hashlib.sha256()
            left_out = []
            for steps in range(1, 1001):
                s = scheduler(name, timestep_spacing=spacing)
                s.set_timesteps(steps)
                t = s.timesteps.double().tolist()
                if len(t) != steps or max(t) > 999 or min(t) < 0 or (name == "dpmpp-2m" and len(set(t)) < steps):
                    left_out.append(steps)
                else:
                    digest.update(np.asarray(t, dtype="<f8").tobytes())
            results.append({"sampler": name, "spacing": spacing, "left_out": left_out, "sha256": digest.hexdigest()})
    return results


def write(name: str, content) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / name
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


write("trajectories.json", {"what": "schedulers of diffusers 0.42.1 on a toy denoiser; states after some steps", "latents": f32(LATENTS), "cases": trajectories()})
write("timesteps.json", {"what": "sha256 of the timesteps (little-endian float64) for 1 to 1000 steps, one after the other", "cases": every_step_count()})
