#!/usr/bin/env python3
"""Makes the pictures that thumbnails are measured on, below target/thumbnail-inputs.

    pip install pillow numpy mozjpeg-lossless-optimization
    python3 benches/thumbnail/inputs.py

The photographs come from Debian's lomiri-wallpapers packages, which are fetched with apt-get and unpacked without being
installed. Wallpapers were denoised and compressed once before; so that they cost what a camera's files do (3 to 6 MB for
12 megapixels), each is brought to size and gets a sensor's noise, stronger in the shadows and coarser in its colours.
Besides the Python packages it needs dpkg-deb, and cjpeg of libjpeg-turbo-progs.
"""

import io
import pathlib
import subprocess
import sys

import mozjpeg_lossless_optimization as mozjpeg
import numpy as np
from PIL import Image

TARGET = pathlib.Path(__file__).resolve().parents[2] / "target" / "thumbnail-inputs"
PACKAGES = ["lomiri-wallpapers-16.04", "lomiri-wallpapers-20.04"]
BACKGROUNDS = "usr/share/backgrounds"
DRAGONFLY = "Dragonfly_by_Bolly.jpg"
MOUNTAINS = "picosdeeuropa_by_Aitzol_Berasategi.jpg"
GREEN = "greentock_by_Peter_Nerlich.jpg"
NUTHATCH = "Kleiber_by_Lukas_Baubkus.jpg"


def sources():
    """The unpacked packages' photographs, by name."""
    folder = TARGET / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if not any(folder.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
        for archive in folder.glob(f"{package}_*.deb"):
            subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)
    return folder / BACKGROUNDS


def photograph(path, width, height, noise=3.2):
    """The photograph's centre at this size, with noise (sigma in levels, at middle grey)."""
    image = Image.open(path).convert("RGB")
    scale = max(width / image.width, height / image.height)
    across, down = width / scale, height / scale
    left, top = (image.width - across) / 2, (image.height - down) / 2
    image = image.resize((width, height), Image.Resampling.LANCZOS, (left, top, left + across, top + down))
    rng = np.random.default_rng(width * height)
    rgb = np.asarray(image, dtype=np.float32)
    strength = noise * np.sqrt(1.5 - rgb.mean(axis=2, keepdims=True) / 255)
    luma = rng.standard_normal((height, width, 1), dtype=np.float32)
    coarse = rng.standard_normal((height // 2 + 1, width // 2 + 1, 3), dtype=np.float32)
    chroma = coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return Image.fromarray(np.clip(rgb + strength * (luma + 0.6 * chroma) + 0.5, 0, 255).astype(np.uint8))


def cjpeg(image, *options):
    """As libjpeg-turbo's own program writes it, by default baseline, 4:2:0 and with the standard Huffman tables."""
    bitmap = io.BytesIO()
    image.save(bitmap, "PPM")
    return subprocess.run(["cjpeg", *options], input=bitmap.getvalue(), stdout=subprocess.PIPE, check=True).stdout


def pillow(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_alpha(image):
    """Opaque on the left, clear on the right."""
    alpha = np.clip(np.linspace(1.6, -0.4, image.width), 0, 1) * 255
    image = image.convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(alpha.astype(np.uint8), (image.height, 1))))
    return image


def keep(name, content):
    (TARGET / name).write_bytes(content)
    print(f"{name}: {len(content):,} bytes", file=sys.stderr)


def jpegs(folder):
    six = photograph(folder / MOUNTAINS, 2725, 2225)
    keep("6mp-420.jpg", cjpeg(six, "-quality", "90"))
    keep("3mp-420.jpg", cjpeg(photograph(folder / GREEN, 1920, 1567), "-quality", "90"))
    twelve = photograph(folder / DRAGONFLY, 4000, 3000)
    keep("12mp-420.jpg", cjpeg(twelve, "-quality", "92"))
    keep("12mp-444.jpg", cjpeg(twelve, "-quality", "92", "-sample", "1x1"))
    keep("12mp-422-restart.jpg", cjpeg(twelve, "-quality", "90", "-sample", "2x1", "-restart", "4"))
    keep("12mp-grey.jpg", cjpeg(twelve, "-quality", "92", "-grayscale"))
    keep("12mp-progressive.jpg", cjpeg(twelve, "-quality", "92", "-progressive"))
    keep("12mp-mozjpeg.jpg", mozjpeg.optimize(cjpeg(twelve, "-quality", "85")))
    large = photograph(folder / NUTHATCH, 6000, 4000)
    keep("24mp-420.jpg", cjpeg(large, "-quality", "90"))
    keep("24mp-progressive.jpg", cjpeg(large, "-quality", "90", "-progressive"))
    return six


def others(six):
    keep("6mp-rgb.png", pillow(six, "PNG"))
    half = six.resize((1362, 1112), Image.Resampling.LANCZOS)
    keep("1.5mp-rgba.png", pillow(with_alpha(half), "PNG"))
    keep("6mp-palette.png", pillow(six.quantize(256), "PNG"))
    keep("6mp-lossy.webp", pillow(six, "WEBP", quality=80))
    keep("1.5mp-lossy-alpha.webp", pillow(with_alpha(half), "WEBP", quality=80))
    keep("1.5mp-lossless.webp", pillow(half, "WEBP", lossless=True))
    keep("1.5mp.gif", pillow(half.quantize(256), "GIF"))
    keep("6mp-deflate.tiff", pillow(six, "TIFF", compression="tiff_adobe_deflate"))
    keep("6mp.bmp", pillow(six, "BMP"))


def main():
    others(jpegs(sources()))


if __name__ == "__main__":
    main()
