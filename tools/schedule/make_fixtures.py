"""Writes fixtures/schedule/schedule.json: noise schedules as diffusers has them, for packages/models/test/schedule.

    python tools/schedule/make_fixtures.py

Made with Python 3.11, diffusers 0.42.1, torch 2.15.0, numpy 2.4.6 (x86-64 with FMA: torch.linspace rounds otherwise without).
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler
from diffusers.training_utils import compute_snr

OUT = Path(__file__).resolve().parents[2] / "fixtures" / "schedule"
T = [0, 1, 7, 250, 499, 500, 501, 900, 998, 999]

CONFIGS = {
    "sd1": dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
    "sd2_v": dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction"),
    "linear": dict(beta_start=1e-4, beta_end=0.02, beta_schedule="linear"),
    "zero_snr": dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction", rescale_betas_zero_snr=True),
    "short": dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=37),
}  # fmt: skip


def sha256(values) -> str:
    return hashlib.sha256(np.asarray(values, dtype="<f4").tobytes()).hexdigest()


def f32(values) -> list[float]:
    return [float(str(np.float32(v))) for v in np.asarray(values)]


def main() -> None:
    x0 = torch.tensor([0.8, -1.3, 0.05])
    epsilon = torch.tensor([-0.4, 0.9, 2.1])
    result = {"what": "DDIMScheduler of diffusers 0.42.1; sha256 of little-endian float32 values", "x0": f32(x0), "epsilon": f32(epsilon), "schedules": {}}
    for name, config in CONFIGS.items():
        s = DDIMScheduler(**config)
        ts = torch.tensor([t for t in T if t < s.config.num_train_timesteps])
        n = len(ts)
        batch, noise = x0.expand(n, 3), epsilon.expand(n, 3)
        result["schedules"][name] = {
            "config": config,
            "betas_sha256": sha256(s.betas),
            "alphas_cumprod_sha256": sha256(s.alphas_cumprod),
            "t": ts.tolist(),
            "alphas_cumprod": f32(s.alphas_cumprod[ts]),
            "x_t": [f32(row) for row in s.add_noise(batch, noise, ts)],
            "v": [f32(row) for row in s.get_velocity(batch, noise, ts)],
            "snr": f32(compute_snr(s, ts)),
        }
    # In double precision, as A1111 has it: LDM's make_beta_schedule and a float64 product.
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    result["alphas_cumprod_f64"] = np.cumprod(1 - betas)[T].tolist()
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / "schedule.json"
    path.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


main()
