#!/usr/bin/env python3
"""Creates the images of the thumbnail benchmarks, below target/thumbnail-inputs.

    pip install pillow numpy mozjpeg-lossless-optimization
    python3 benches/thumbnail/inputs.py

The photos come from Debian's lomiri-wallpapers packages, which are downloaded with apt-get and unpacked without being
installed. Wallpapers are denoised and already compressed. To match the cost of camera files (3 to 6 MB for 12
megapixels), each photo is resized and gets sensor noise, stronger in shadows and coarser in chroma. Requires dpkg-deb,
and cjpeg of libjpeg-turbo-progs, besides the Python packages.
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
    """Unpacks the packages and returns the folder of their photos."""
    folder = TARGET / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if not any(folder.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", "-q", package], cwd=folder, check=True)
        for archive in folder.glob(f"{package}_*.deb"):
            subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)
    return folder / BACKGROUNDS


def photo(path, width, height, noise=3.2):
    """The centre of the photo at this size, with noise (sigma in levels, at middle grey)."""
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
    """Encodes with cjpeg of libjpeg-turbo; the default is baseline, 4:2:0 and the standard Huffman tables."""
    bitmap = io.BytesIO()
    image.save(bitmap, "PPM")
    return subprocess.run(["cjpeg", *options], input=bitmap.getvalue(), stdout=subprocess.PIPE, check=True).stdout


def pillow(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def with_alpha(image):
    """Opaque on the left, transparent on the right."""
    alpha = np.clip(np.linspace(1.6, -0.4, image.width), 0, 1) * 255
    image = image.convert("RGBA")
    image.putalpha(Image.fromarray(np.tile(alpha.astype(np.uint8), (image.height, 1))))
    return image


def write(name, content):
    (TARGET / name).write_bytes(content)
    print(f"{name}: {len(content):,} bytes", file=sys.stderr)


def jpegs(folder):
    six = photo(folder / MOUNTAINS, 2725, 2225)
    write("6mp-420.jpg", cjpeg(six, "-quality", "90"))
    write("3mp-420.jpg", cjpeg(photo(folder / GREEN, 1920, 1567), "-quality", "90"))
    twelve = photo(folder / DRAGONFLY, 4000, 3000)
    write("12mp-420.jpg", cjpeg(twelve, "-quality", "92"))
    write("12mp-444.jpg", cjpeg(twelve, "-quality", "92", "-sample", "1x1"))
    write("12mp-422-restart.jpg", cjpeg(twelve, "-quality", "90", "-sample", "2x1", "-restart", "4"))
    write("12mp-grey.jpg", cjpeg(twelve, "-quality", "92", "-grayscale"))
    write("12mp-progressive.jpg", cjpeg(twelve, "-quality", "92", "-progressive"))
    write("12mp-mozjpeg.jpg", mozjpeg.optimize(cjpeg(twelve, "-quality", "85")))
    large = photo(folder / NUTHATCH, 6000, 4000)
    write("24mp-420.jpg", cjpeg(large, "-quality", "90"))
    write("24mp-progressive.jpg", cjpeg(large, "-quality", "90", "-progressive"))
    return six


def others(six):
    write("6mp-rgb.png", pillow(six, "PNG"))
    half = six.resize((1362, 1112), Image.Resampling.LANCZOS)
    write("1.5mp-rgba.png", pillow(with_alpha(half), "PNG"))
    write("6mp-palette.png", pillow(six.quantize(256), "PNG"))
    write("6mp-lossy.webp", pillow(six, "WEBP", quality=80))
    write("1.5mp-lossy-alpha.webp", pillow(with_alpha(half), "WEBP", quality=80))
    write("1.5mp-lossless.webp", pillow(half, "WEBP", lossless=True))
    write("1.5mp.gif", pillow(half.quantize(256), "GIF"))
    write("6mp-deflate.tiff", pillow(six, "TIFF", compression="tiff_adobe_deflate"))
    write("6mp.bmp", pillow(six, "BMP"))


def main():
    others(jpegs(sources()))


if __name__ == "__main__":
    main()
