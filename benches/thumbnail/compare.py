#!/usr/bin/env python3
"""Compares thumbnails of m3a3, sharp and vipsthumbnail: the same files, in alternation, in one run.

    pip install pillow numpy scikit-image && apt-get install libvips-tools && npm ci --prefix benches/thumbnail
    python3 benches/thumbnail/inputs.py
    python3 benches/thumbnail/compare.py [--rounds N] [FILE...]

`fine` is the high-quality mode of m3a3. For each file it prints thumbnails per CPU-second (user and kernel mode of all
threads; medians), peak resident memory of a process that makes only these, and the structural similarity (SSIM) of the
result to a reference: Pillow's full decode, resized with Lanczos3 and not compressed. sharp and m3a3 are measured
inside their processes, after warm-up rounds; vipsthumbnail runs one process per thumbnail, and the time of
`vips --version` is subtracted.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image, ImageOps
from skimage.metrics import structural_similarity

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WARM_UPS, ROUNDS = 2, 5


def built():
    """Builds the benchmark executable, which can make one thumbnail repeatedly."""
    command = ["cargo", "bench", "--bench", "thumbnail", "--no-run", "--message-format=json"]
    lines = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    artifacts = [json.loads(line) for line in lines if line.startswith("{")]
    programs = [a["executable"] for a in artifacts if a.get("target", {}).get("name") == "thumbnail"]
    return programs[-1]


def reported(command):
    """The report of a process: CPU milliseconds of each round, and its peak memory."""
    command = [*command, str(WARM_UPS), str(ROUNDS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


# A small separate process starts the command: the peak memory of a child starts with that of the process that forks.
WAIT = """
import json, os, sys
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(json.dumps({"cpu": [(usage.ru_utime + usage.ru_stime) * 1000], "peak": usage.ru_maxrss, "status": status}))
"""


def waited(command):
    done = subprocess.run([sys.executable, "-IS", "-c", WAIT, *command], stdout=subprocess.PIPE, check=True, text=True)
    report = json.loads(done.stdout.splitlines()[-1])
    return report if report["status"] == 0 else None


class Vips:
    """vipsthumbnail, on one thread."""

    def __init__(self):
        os.environ["VIPS_CONCURRENCY"] = "1"
        self.start = statistics.median(waited(["vips", "--version"])["cpu"][0] for _ in range(ROUNDS))

    def run(self, file, output):
        options = "[strip]" if output.endswith(".png") else "[Q=80,strip]"
        command = ["vipsthumbnail", file, "--size", "300x300", "--smartcrop", "centre", "-o", output + options]
        report = waited(command)
        if report:
            report["cpu"] = [max(cpu - self.start, 0.1) for cpu in report["cpu"]]
        return report


def luma(image):
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("L"), dtype=np.float64)


def similarity(output, reference):
    with Image.open(output) as image:
        if image.size != reference.size:
            return float("nan")
        options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        return structural_similarity(luma(image), luma(reference), **options)


def reference(file):
    with Image.open(file) as image:
        image = ImageOps.exif_transpose(image)
        alpha = "A" in image.getbands() or "transparency" in image.info
        return ImageOps.fit(image.convert("RGBA" if alpha else "RGB"), (300, 300), Image.Resampling.LANCZOS)


def measure(file, programs, rounds, folder):
    """Medians of CPU time and peak memory of each program, and the similarity of its last output."""
    ideal = reference(file)
    extension = ".png" if ideal.mode == "RGBA" else ".jpg"
    outputs = {name: os.path.join(folder, name + extension) for name in programs}
    reports = {name: [] for name in programs}
    for _ in range(rounds):
        for name, run in programs.items():
            reports[name].append(run(str(file), outputs[name]))
    results = {}
    for name, runs in reports.items():
        if all(runs):
            cpu = statistics.median(cpu for report in runs for cpu in report["cpu"])
            peak = statistics.median(report["peak"] for report in runs) / 1024
            results[name] = (cpu, peak, similarity(outputs[name], ideal))
    return results


NAMES = ["ours", "fine", "sharp", "vips"]
RATIOS = [("ours", "sharp"), ("fine", "sharp"), ("ours", "vips")]


def header():
    cells = ["input", *(f"{name}, per CPU-second" for name in NAMES), *(f"{left} : {right}" for left, right in RATIOS)]
    cells += ["peak MB, " + " / ".join(NAMES), "SSIM, " + " / ".join(NAMES)]
    return "| " + " | ".join(cells) + " |\n|---" + "|--:" * (len(cells) - 1) + "|"


def row(file, results):
    """One row of the table; a ratio above 1 means that the left program is faster."""
    cells = [f"`{file.name}`"]
    cells += [f"{1000 / results[name][0]:.1f}" if name in results else "–" for name in NAMES]
    for left, right in RATIOS:
        both = left in results and right in results
        cells.append(f"**{results[right][0] / results[left][0]:.2f}**" if both else "–")
    for at, form in [(1, "{:.1f}"), (2, "{:.4f}")]:
        cells.append(" / ".join(form.format(results[name][at]) if name in results else "–" for name in NAMES))
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each program on each file")
    parser.add_argument("--ours", help="path of a built benchmark executable; built if absent")
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    files = arguments.files or sorted(p for p in (ROOT / "target" / "thumbnail-inputs").iterdir() if p.is_file())
    ours, vips = os.path.abspath(arguments.ours or built()), Vips()
    programs = {
        "ours": lambda file, output: reported([ours, "--again", "whole", file, output]),
        "fine": lambda file, output: reported([ours, "--again", "fine", file, output]),
        "sharp": lambda file, output: reported(["node", str(HERE / "sharp.mjs"), file, output]),
        "vips": vips.run,
    }
    print(header(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            print(row(file, measure(file, programs, arguments.rounds, folder)), flush=True)


if __name__ == "__main__":
    main()
