#!/usr/bin/env python3
"""End-to-end cost of uploads: CPU seconds per 100 uploads of one photo, for m3a3 and Node, in alternation in one run.

    pip install pillow && apt-get install redis-server && npm ci --prefix benches/thumbnail
    python3 benches/thumbnail/inputs.py
    cargo build --release
    python3 benches/thumbnail/uploads.py [--rounds N] [--uploads N] [--photo FILE] [STACK...]

The stacks (default: all):

    separate  `m3a3 serve` and `m3a3 worker thumbnail`, with a redis-server
    up        `m3a3 up`, with its embedded broker; also stores each image as an asset
    node      the usual stack without m3a3: Express with multer, a worker with sharp (below peer/), and a redis-server

In each round, a stack starts in an empty folder and warms up. Then N users upload the photo, four at a time, and each
waits for the thumbnail in a long poll. The result is the CPU time of all processes of the stack until no job is left,
in user and kernel mode, without the client. Prints the median, the minimum and the maximum of the rounds.

The Node stack does less work: it does not flush to disk, accepts uploads without inspecting them, and loses a job if
its message or worker is lost.
"""

import argparse
import concurrent.futures
import contextlib
import io
import json
import os
import pathlib
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
import urllib.request
import uuid

from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MAX_CONCURRENT = 4
# Enough for the JIT compiler of V8.
WARM_UPS = 40


def stats():
    """The fields of every process from the state on (proc_pid_stat(5))."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        # A process can exit meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield stat.read_text().rsplit(")", 1)[1].split()


class Stack:
    """The processes of a stack, in a folder of their own."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []

    def started(self, *command, **environment):
        """Starts a process, and returns the line that it prints when it is ready."""
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        line = process.stdout.readline().strip()
        assert line, f"{command} did not start"
        return line

    def redis(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.started("redis-server", "--port", str(port), "--save", "", "--dir", self.folder)
        return f"redis://127.0.0.1:{port}"

    def cpu_seconds(self):
        """CPU time of all threads, in user and kernel mode, including live and reaped children."""
        sessions = {str(process.pid) for process in self.processes}
        ours = [fields[11:15] for fields in stats() if fields[3] in sessions]
        return sum(int(ticks) for fields in ours for ticks in fields) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()


def separate(stack, m3a3):
    flags = ["--redis-url", stack.redis(), "--log-level", "warn"]
    url = stack.started(m3a3, "serve", "--port", "0", *flags)
    stack.started(m3a3, "worker", "thumbnail", *flags)
    return url


def up(stack, m3a3):
    return stack.started(m3a3, "up", "--port", "0", "--game-port", "0", "--log-level", "warn")


def node(stack, _):
    environment = {"NODE_ENV": "production", "REDIS_URL": stack.redis()}
    url = stack.started("node", HERE / "peer" / "server.mjs", **environment)
    stack.started("node", HERE / "peer" / "worker.mjs", **environment)
    return url


# Title, start function, and the job kinds in the database of m3a3.
STACKS = {
    "separate": ("m3a3: API server, worker, Redis", separate, ["thumbnail"]),
    "up": ("`m3a3 up`", up, ["thumbnail", "warehouse", "email"]),
    "node": ("Node: API server, worker, Redis", node, []),
}


def image_of(user, photo):
    """The photo with a comment of its own per user, because m3a3 stores identical images once."""
    comment = f"of user {user}".encode()
    return photo[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + photo[2:]


def upload(url, user, photo):
    """Uploads the photo, waits for the thumbnail, and returns its URL."""
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="userId"\r\n\r\n{user}\r\n--{boundary}\r\n'
        f'Content-Disposition: form-data; name="image"; filename="photo.jpg"\r\n\r\n'
    )
    body = head.encode() + image_of(user, photo) + f"\r\n--{boundary}--\r\n".encode()
    form = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/enqueue", body, form)) as answer:
        assert json.load(answer)["userId"] == user
    with urllib.request.urlopen(f"{url}/status-live/{user}?timeout=60") as answer:
        status = json.load(answer)
    assert status["status"] == "done", status
    return url + status["thumbnailUrl"]


def upload_all(url, users, photo):
    with concurrent.futures.ThreadPoolExecutor(MAX_CONCURRENT) as pool:
        return list(pool.map(lambda user: upload(url, user, photo), users))


def check(thumbnail_url):
    with urllib.request.urlopen(thumbnail_url) as answer:
        thumbnail = Image.open(io.BytesIO(answer.read()))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (300, 300)), thumbnail


def wait_for_jobs(folder, kinds):
    # In the Node stack, publishing the thumbnail is the last step.
    if not kinds:
        return
    with contextlib.closing(sqlite3.connect(f"{folder}/data/m3a3.db")) as database:
        marks = ", ".join("?" for _ in kinds)
        left = f"SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND kind IN ({marks})"
        while database.execute(left, kinds).fetchone()[0]:
            time.sleep(0.05)


def run_round(name, options):
    """CPU seconds per 100 uploads in one round."""
    _, start, kinds = STACKS[name]
    photo = options.photo.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(folder)
        try:
            url = start(stack, options.binary.resolve()).removeprefix("listening on ")
            upload_all(url, range(1, WARM_UPS + 1), photo)
            wait_for_jobs(folder, kinds)
            before = stack.cpu_seconds()
            thumbnails = upload_all(url, range(WARM_UPS + 1, WARM_UPS + options.uploads + 1), photo)
            wait_for_jobs(folder, kinds)
            used = stack.cpu_seconds() - before
            for thumbnail in thumbnails:
                check(thumbnail)
            return used * 100 / options.uploads
        finally:
            stack.stop()


def table(rounds):
    """A ratio above 1 means that the row is faster than Node."""
    medians = {name: statistics.median(used) for name, used in rounds.items()}
    yield "| | CPU seconds per 100 uploads | minimum, maximum | Node : this |"
    yield "|---|--:|--:|--:|"
    for name, used in rounds.items():
        ratio = f"**{medians['node'] / medians[name]:.2f}**" if "node" in rounds else "–"
        yield f"| {STACKS[name][0]} | {medians[name]:.2f} | {min(used):.2f}, {max(used):.2f} | {ratio} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each stack")
    parser.add_argument("--uploads", type=int, default=200, help="uploads in each round")
    photo = ROOT / "target/thumbnail-inputs/6mp-420.jpg"
    parser.add_argument("--photo", type=pathlib.Path, default=photo, help="a JPEG")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/m3a3")
    parser.add_argument("stacks", nargs="*", metavar="STACK", help=", ".join(STACKS))
    options = parser.parse_args()
    if unknown := set(options.stacks) - set(STACKS):
        parser.error(f"unknown stack: {', '.join(unknown)}")
    rounds = {name: [] for name in options.stacks or STACKS}
    for _ in range(options.rounds):
        for name, used in rounds.items():
            used.append(run_round(name, options))
    print("\n".join(table(rounds)))


if __name__ == "__main__":
    main()
