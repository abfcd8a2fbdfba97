"""Pictures in every form that crosspike reads, and what Pillow makes of them.

Writes forms/*.png and *.jpg, and expected.npz with `FILE` (decoded, [height, width, channels]); of PNG files, whose
pixels all decoders agree on, also `FILE.grey` (Pillow's convert("L")) and `FILE.SIZE` (scaled until it covers
HEIGHTxWIDTH by Pillow's bilinear filter, and cut in the middle as torchvision's CenterCrop does). Needs numpy and
pillow.
"""

import os
import numpy as np
from PIL import Image
import PIL

os.makedirs("forms", exist_ok=True)
rng = np.random.default_rng(18)


def picture(height, width, channels):
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (3 + c) + c) + np.cos(y / (4 + c) - 2 * c) for c in range(channels)]
    values = 128 + 50 * np.stack(waves, -1) + rng.normal(0, 6, (height, width, channels))
    return np.clip(values, 0, 255).astype(np.uint8)


colour = Image.fromarray(picture(37, 50, 3))
grey = Image.fromarray(picture(37, 50, 1)[..., 0])
alpha = Image.fromarray(np.concatenate([picture(20, 31, 3), rng.integers(0, 256, (20, 31, 1), dtype=np.uint8)], -1))
forms = {
    "colour.png": (colour, {}),
    "grey.png": (grey, {}),
    "alpha.png": (alpha, {}),
    "palette.png": (colour.quantize(16), {}),
    "bits.png": (grey.convert("1"), {}),
    "deep.png": (Image.fromarray((picture(20, 31, 1)[..., 0].astype(np.uint16) << 8) | 0x55), {}),
    "colour_420.jpg": (colour, dict(quality=90)),
    "colour_444.jpg": (colour, dict(quality=95, subsampling=0)),
    "colour_422.jpg": (colour, dict(quality=90, subsampling=1)),
    "progressive.jpg": (colour, dict(quality=85, progressive=True, optimize=True)),
    "grey.jpg": (grey, dict(quality=90)),
}
sizes = [(16, 16), (20, 48), (64, 64), (37, 25)]


def covering(image, height, width):
    w, h = image.size
    new = (w * height // h, height) if w * height >= width * h else (width, h * width // w)
    image = image.resize(new, Image.BILINEAR)
    top, left = int(round((new[1] - height) / 2.0)), int(round((new[0] - width) / 2.0))
    return image.crop((left, top, left + width, top + height))


expected = {}
for name, (image, options) in forms.items():
    image.save(f"forms/{name}", **options)
    image = Image.open(f"forms/{name}")
    if name == "deep.png":  # Pillow clips 16 bits to 255; the upper half is the picture.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    is_colour = image.mode in ("RGB", "RGBA", "P")
    image = image.convert("RGB" if is_colour else "L")
    array = lambda image: np.asarray(image).reshape(image.size[1], image.size[0], -1)
    expected[name] = array(image)
    if name.endswith(".jpg"):
        continue
    expected[f"{name}.grey"] = array(image.convert("L"))
    for height, width in sizes:
        expected[f"{name}.{height}x{width}"] = array(covering(image, height, width))
np.savez_compressed("expected.npz", **expected)
print("Pillow", PIL.__version__)
