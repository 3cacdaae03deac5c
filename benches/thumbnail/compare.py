#!/usr/bin/env python3
"""Our thumbnails beside those of sharp and of vipsthumbnail: the same files, in one run, taking turns.

    pip install pillow numpy scikit-image && apt-get install libvips-tools && npm ci --prefix benches/thumbnail
    python3 benches/thumbnail/inputs.py
    python3 benches/thumbnail/compare.py [--rounds N] [FILE...]

`fine` is our high-quality mode. For each file it prints thumbnails per CPU-second (user and kernel mode of all threads; medians), peak resident memory of
a process that makes only these, and the structural similarity (SSIM) of the finished file to a reference: Pillow's full
decode, resized with Lanczos3 and not compressed. sharp and ours are measured within their processes, after warm-ups;
vipsthumbnail is a process for each thumbnail, from whose time that of `vips --version` is taken off.
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
WARM_UPS, TURNS = 2, 5


def built():
    """The benchmark's own program, which knows how to make one thumbnail again and again."""
    command = ["cargo", "bench", "--bench", "thumbnail", "--no-run", "--message-format=json"]
    lines = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    artifacts = [json.loads(line) for line in lines if line.startswith("{")]
    programs = [a["executable"] for a in artifacts if a.get("target", {}).get("name") == "thumbnail"]
    return programs[-1]


def reported(command):
    """What a process says of itself: CPU milliseconds of each round, and its peak memory."""
    done = subprocess.run([*command, str(WARM_UPS), str(TURNS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


# A small process of its own starts and waits for it: a child's peak memory begins with that of the process that forks.
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
        self.start = statistics.median(waited(["vips", "--version"])["cpu"][0] for _ in range(TURNS))

    def turn(self, file, output):
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
    """Everyone's turns, medians of CPU time and peak memory, and the similarity of the last output."""
    ideal = reference(file)
    extension = ".png" if ideal.mode == "RGBA" else ".jpg"
    outputs = {name: os.path.join(folder, name + extension) for name in programs}
    turns = {name: [] for name in programs}
    for _ in range(rounds):
        for name, turn in programs.items():
            turns[name].append(turn(str(file), outputs[name]))
    results = {}
    for name, reports in turns.items():
        if all(reports):
            cpu = statistics.median(cpu for report in reports for cpu in report["cpu"])
            peak = statistics.median(report["peak"] for report in reports) / 1024
            results[name] = (cpu, peak, similarity(outputs[name], ideal))
    return results


NAMES = ["ours", "fine", "sharp", "vips"]
RATIOS = [("ours", "sharp"), ("fine", "sharp"), ("ours", "vips")]


def header():
    cells = ["input", *(f"{name}, per CPU-second" for name in NAMES), *(f"{left} : {right}" for left, right in RATIOS)]
    cells += ["peak MB, " + " / ".join(NAMES), "SSIM, " + " / ".join(NAMES)]
    return "| " + " | ".join(cells) + " |\n|---" + "|--:" * (len(cells) - 1) + "|"


def row(file, results):
    """One line of the table; a ratio above 1 is in our favour."""
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
    parser.add_argument("--rounds", type=int, default=3, help="turns of each program on each file")
    parser.add_argument("--ours", help="the built benchmark, if it is not to be built")
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    files = arguments.files or sorted(p for p in (ROOT / "target" / "thumbnail-inputs").iterdir() if p.is_file())
    ours, vips = os.path.abspath(arguments.ours or built()), Vips()
    programs = {
        "ours": lambda file, output: reported([ours, "--again", "whole", file, output]),
        "fine": lambda file, output: reported([ours, "--again", "fine", file, output]),
        "sharp": lambda file, output: reported(["node", str(HERE / "sharp.mjs"), file, output]),
        "vips": vips.turn,
    }
    print(header(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            print(row(file, measure(file, programs, arguments.rounds, folder)), flush=True)


if __name__ == "__main__":
    main()
