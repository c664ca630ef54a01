"""Writes fixtures/data/: pictures whose right decoding is known from PIL (Pillow 13.0.0, numpy 2.4.6).

Run from the repository's root: python tools/data/make_fixtures.py

source.png            192 x 128, put together from the four pictures of fixtures/goldens/train/images.
KERNEL-WxH.png        source.png as torchvision's Resize(short side) and CenterCrop make it with PIL's kernel of that name:
                      long side = int(size * long / short) (torchvision/transforms/functional.py, _compute_resized_output_size),
                      offset = int(round(surplus / 2)) (center_crop); for sizes that are not square, the same with "cover".
srgb-profile.png      source.png with LittleCMS' sRGB profile embedded: the same colours.
cmyk.jpg              48 x 16, three patches in ink: none, cyan, black.
grey16.png            256 x 1, 16-bit greyscale: value 257 * x.
palette-alpha.png     3 x 1, palette with transparency: red opaque, green at 128 of 255, blue at 0.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

root = Path(__file__).resolve().parents[2]
goldens = root / "fixtures/goldens/train/images"
out = root / "fixtures/data"
out.mkdir(parents=True, exist_ok=True)

pictures = [Image.open(path).convert("RGB") for path in sorted(goldens.glob("*.png"))]
source = Image.new("RGB", (192, 128))
for index, picture in enumerate(pictures):
    source.paste(picture, (index % 2 * 64, index // 2 * 64))
source.paste(pictures[3].resize((64, 128), Image.Resampling.BICUBIC), (128, 0))
source.save(out / "source.png", optimize=True)


def cover(picture, width, height, kernel):
    w, h = picture.size
    scaled = (int(height * w / h), height) if w * height >= width * h else (width, int(width * h / w))
    left, top = (int(round((s - n) / 2.0)) for s, n in zip(scaled, (width, height)))
    return picture.resize(scaled, kernel).crop((left, top, left + width, top + height))


kernels = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
for name, kernel in kernels.items():
    for width, height in [(96, 96), (48, 48), (24, 24), (160, 160)]:
        cover(source, width, height, kernel).save(out / f"{name}-{width}x{height}.png", optimize=True)
cover(source, 41, 64, kernels["bicubic"]).save(out / "bicubic-41x64.png", optimize=True)

profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
source.save(out / "srgb-profile.png", icc_profile=profile, optimize=True)

ink = np.zeros((16, 48, 4), np.uint8)
ink[:, 16:32] = (255, 0, 0, 0)
ink[:, 32:] = (0, 0, 0, 255)
Image.fromarray(ink, "CMYK").save(out / "cmyk.jpg", quality=95)

grey = (np.arange(256, dtype=np.uint16) * 257).reshape(1, 256)
Image.fromarray(grey).save(out / "grey16.png")

palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
palette.save(out / "palette-alpha.png", transparency=bytes([255, 128, 0]))
