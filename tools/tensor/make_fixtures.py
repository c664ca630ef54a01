"""Writes fixtures/tensor/primitives.safetensors and functions.safetensors with PyTorch (torch 2.15.0, numpy 2.4.6, safetensors 0.8.0).

Run from the repository's root: python tools/tensor/make_fixtures.py
recorder.py says how the files are laid out.
"""

from pathlib import Path

import functions
import primitives

out = Path(__file__).resolve().parents[2] / "fixtures/tensor"
primitives.r.write(out / "primitives.safetensors")
functions.r.write(out / "functions.safetensors")
