#!/usr/bin/env python3
"""Throughput of the worker on a burst of images, for m3a3 and Node, in alternation in one run.

    pip install pillow && apt-get install redis-server && npm ci --prefix benches/thumbnail
    python3 benches/thumbnail/inputs.py
    cargo build --release
    python3 benches/thumbnail/burst.py [--rounds N] [--binary FILE...] [WORKLOAD...]

The workloads (default: all):

    photos  200 different photos of 2 MB and 6 megapixels
    tiny    2,000 different images of 64x64 pixels

and the stacks, once for each binary:

    thumbnail  `m3a3 worker thumbnail`, with `m3a3 serve` and a redis-server
    all        `m3a3 worker all`, with the same; also stores each image as an asset, and has mail jobs
    node       a worker with sharp (peer/worker.mjs), and a redis-server

All images are in a folder before the burst. m3a3 has a durable job for each when its worker starts; the Node worker
gets a message for each from Redis. The time is that from the worker's start until every image has its thumbnail, the
CPU time that of all processes of the stack in it, in user and kernel mode. `busy` is their ratio, per core. Prints
the median, the minimum and the maximum of the rounds.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import socket
import sqlite3
import statistics
import tempfile
import time
import urllib.request

from PIL import Image
from uploads import HERE, ROOT, Stack

INPUTS = ROOT / "target" / "burst-inputs"
PHOTOS, TINY = 200, 2000
ENQUEUES_AT_ONCE = 8


def photos(folder):
    """Crops of one photo, each from another corner."""
    photo = Image.open(ROOT / "target/thumbnail-inputs/6mp-420.jpg").convert("RGB")
    width, height = photo.width - 20, photo.height - 10
    for number in range(PHOTOS):
        left, top = number % 20, number // 20
        crop = photo.crop((left, top, left + width, top + height))
        crop.save(folder / f"{number}.jpg", quality=88)


def tiny(folder):
    for number in range(TINY):
        noise = random.Random(number).randbytes(8 * 8 * 3)
        Image.frombytes("RGB", (8, 8), noise).resize((64, 64)).save(folder / f"{number}.jpg")


WORKLOADS = {"photos": (photos, PHOTOS), "tiny": (tiny, TINY)}


def images(workload):
    """The images of a workload, which are made once."""
    make, count = WORKLOADS[workload]
    folder = INPUTS / workload
    if not folder.is_dir() or len(list(folder.iterdir())) < count:
        folder.mkdir(parents=True, exist_ok=True)
        make(folder)
    return sorted(folder.iterdir())


def enqueue(url, number, name):
    body = json.dumps({"userId": number, "imagePath": name}).encode()
    request = urllib.request.Request(f"{url}/enqueue", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request).close()


def until(database, query):
    """Waits until the query returns 1."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        while connection.execute(query).fetchone()[0] != 1:
            time.sleep(0.02)


def m3a3(role, kinds):
    def run(stack, binary, names):
        flags = ["--redis-url", stack.redis(), "--log-level", "warn"]
        url = stack.started(binary, "serve", "--port", "0", *flags).removeprefix("listening on ")
        with concurrent.futures.ThreadPoolExecutor(ENQUEUES_AT_ONCE) as pool:
            list(pool.map(lambda numbered: enqueue(url, *numbered), enumerate(names, 1)))
        before, start = stack.cpu_seconds(), time.monotonic()
        stack.started(binary, "worker", role, *flags)
        left = f"SELECT 1 FROM jobs WHERE state IN ('queued', 'running') AND kind IN {kinds}"
        until(f"{stack.folder}/data/m3a3.db", f"SELECT NOT EXISTS ({left})")
        return time.monotonic() - start, stack.cpu_seconds() - before

    return run


def resp(*parts):
    """A command for Redis."""
    strings = "".join(f"${len(part)}\r\n{part}\r\n" for part in parts)
    return f"*{len(parts)}\r\n{strings}".encode()


def node(stack, _, names):
    url = stack.redis()
    before, start = stack.cpu_seconds(), time.monotonic()
    stack.started("node", HERE / "peer" / "worker.mjs", NODE_ENV="production", REDIS_URL=url)
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as redis:
        for number, name in enumerate(names, 1):
            message = json.dumps({"userId": number, "imagePath": f"data/{name}"})
            redis.sendall(resp("PUBLISH", "image_uploaded", message))
        until(f"{stack.folder}/peer.db", f"SELECT count(*) >= {len(names)} FROM users")
    return time.monotonic() - start, stack.cpu_seconds() - before


STACKS = {
    "thumbnail": ("`m3a3 worker thumbnail`", m3a3("thumbnail", "('thumbnail')")),
    "all": ("`m3a3 worker all`", m3a3("all", "('thumbnail', 'warehouse', 'email')")),
    "node": ("Node and sharp", node),
}


def run_round(start, binary, files):
    with tempfile.TemporaryDirectory(dir=INPUTS) as folder:
        root = pathlib.Path(folder, "data")
        root.mkdir()
        for file in files:
            os.link(file, root / file.name)
        stack = Stack(folder)
        try:
            return start(stack, binary, [file.name for file in files])
        finally:
            stack.stop()


def row(title, count, rounds, node_seconds):
    seconds, cpu = (statistics.median(values) for values in zip(*rounds))
    spread = ", ".join(f"{count / edge:.0f}" for edge in (max(rounds)[0], min(rounds)[0]))
    busy = cpu / seconds / os.cpu_count()
    ratio = f"{node_seconds / seconds:.2f}" if node_seconds else "–"
    return f"| {title} | {count / seconds:.0f} | {spread} | {cpu * 1000 / count:.2f} | {busy:.0%} | {ratio} |"


def table(workload, results):
    count = WORKLOADS[workload][1]
    node_rounds = next((rounds for title, rounds in results.items() if title.startswith("Node")), None)
    node_seconds = statistics.median(seconds for seconds, _ in node_rounds) if node_rounds else None
    yield f"\n{workload}: {count} images\n"
    yield "| | images per second | minimum, maximum | CPU ms per image | busy | times Node |"
    yield "|---|--:|--:|--:|--:|--:|"
    for title, rounds in results.items():
        yield row(title, count, rounds, node_seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each stack")
    default = ROOT / "target/release/m3a3"
    parser.add_argument("--binary", type=pathlib.Path, nargs="+", default=[default], help="builds to compare")
    parser.add_argument("--stacks", nargs="+", choices=STACKS, default=list(STACKS))
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    options = parser.parse_args()
    if unknown := set(options.workloads) - set(WORKLOADS):
        parser.error(f"unknown workload: {', '.join(unknown)}")
    for workload in options.workloads or WORKLOADS:
        files, results = images(workload), {}
        for _ in range(options.rounds):
            for name in options.stacks:
                title, start = STACKS[name]
                for binary in options.binary if name != "node" else [None]:
                    key = f"{title}, {binary}" if binary and len(options.binary) > 1 else title
                    results.setdefault(key, []).append(run_round(start, binary and binary.resolve(), files))
        print("\n".join(table(workload, results)))


if __name__ == "__main__":
    main()
