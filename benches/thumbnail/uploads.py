#!/usr/bin/env python3
"""What uploads cost from end to end: CPU seconds per 100 of one photo, of m3a3 and of Node, taking turns in one run.

    pip install pillow && apt-get install redis-server && npm ci --prefix benches/thumbnail
    python3 benches/thumbnail/inputs.py
    cargo build --release
    python3 benches/thumbnail/uploads.py [--rounds N] [--uploads N] [--photo FILE] [STACK...]

The stacks, all of which are measured unless some are named:

    separate  `m3a3 serve` and `m3a3 worker thumbnail`, on a redis-server
    up        `m3a3 up`, which is its own Redis, and keeps each picture as an asset, too
    node      what is usual without m3a3: Express with multer, a worker with sharp (below peer/), and a redis-server

In every turn a stack starts in an empty folder and warms up; then N users upload the photo, four at a time, and each
waits for the thumbnail in a long poll. Counted is what all of the stack's processes use until nothing is left to do, in
user and kernel mode, and nothing of the client. Printed are the medians of the turns, and the lowest and highest.

The Node stack is spared some of the work: it flushes nothing to the disk, does not look at what was uploaded before it
takes it, and loses a job whose message or worker is lost.
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
AT_ONCE = 4
# By then V8 has compiled what it is going to.
WARM_UPS = 40


def stats():
    """What the kernel says of every process, from the state on (proc_pid_stat(5))."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        # Any of them may end meanwhile.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield stat.read_text().rsplit(")", 1)[1].split()


class Stack:
    """The processes that take uploads together, in a folder of their own."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []

    def started(self, *command, **environment):
        """Starts a process, and returns the line by which it says that it is ready."""
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
        """Of all threads, in user and kernel mode; also of children, whether they live or were waited for."""
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


# What each is called, how it is started, and the jobs that its workers do in m3a3's database.
STACKS = {
    "separate": ("m3a3: API server, worker, Redis", separate, ["thumbnail"]),
    "up": ("`m3a3 up`", up, ["thumbnail", "warehouse", "email"]),
    "node": ("Node: API server, worker, Redis", node, []),
}


def picture_of(user, photo):
    """The photo, with a comment in it: users' pictures differ, and m3a3 does not store one twice."""
    comment = f"of user {user}".encode()
    return photo[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + photo[2:]


def upload(url, user, photo):
    """Uploads the photo, and returns where the thumbnail is once it is there."""
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="userId"\r\n\r\n{user}\r\n--{boundary}\r\n'
        f'Content-Disposition: form-data; name="image"; filename="photo.jpg"\r\n\r\n'
    )
    body = head.encode() + picture_of(user, photo) + f"\r\n--{boundary}--\r\n".encode()
    form = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/enqueue", body, form)) as answer:
        assert json.load(answer)["userId"] == user
    with urllib.request.urlopen(f"{url}/status-live/{user}?timeout=60") as answer:
        status = json.load(answer)
    assert status["status"] == "done", status
    return url + status["thumbnailUrl"]


def upload_all(url, users, photo):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda user: upload(url, user, photo), users))


def check(thumbnail_url):
    with urllib.request.urlopen(thumbnail_url) as answer:
        thumbnail = Image.open(io.BytesIO(answer.read()))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (300, 300)), thumbnail


def wait_for_the_rest(folder, kinds):
    # Node has told of a thumbnail last of all.
    if not kinds:
        return
    with contextlib.closing(sqlite3.connect(f"{folder}/data/m3a3.db")) as database:
        marks = ", ".join("?" for _ in kinds)
        left = f"SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND kind IN ({marks})"
        while database.execute(left, kinds).fetchone()[0]:
            time.sleep(0.05)


def turn(name, options):
    """CPU seconds per 100 uploads."""
    _, start, kinds = STACKS[name]
    photo = options.photo.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(folder)
        try:
            url = start(stack, options.binary.resolve()).removeprefix("listening on ")
            upload_all(url, range(1, WARM_UPS + 1), photo)
            wait_for_the_rest(folder, kinds)
            before = stack.cpu_seconds()
            thumbnails = upload_all(url, range(WARM_UPS + 1, WARM_UPS + options.uploads + 1), photo)
            wait_for_the_rest(folder, kinds)
            used = stack.cpu_seconds() - before
            for thumbnail in thumbnails:
                check(thumbnail)
            return used * 100 / options.uploads
        finally:
            stack.stop()


def table(turns):
    """A ratio above 1 is in our favour."""
    medians = {name: statistics.median(used) for name, used in turns.items()}
    yield "| | CPU seconds per 100 uploads | lowest and highest | Node : this |"
    yield "|---|--:|--:|--:|"
    for name, used in turns.items():
        ratio = f"**{medians['node'] / medians[name]:.2f}**" if "node" in turns else "–"
        yield f"| {STACKS[name][0]} | {medians[name]:.2f} | {min(used):.2f}, {max(used):.2f} | {ratio} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each stack")
    parser.add_argument("--uploads", type=int, default=200, help="in each turn")
    photo = ROOT / "target/thumbnail-inputs/6mp-420.jpg"
    parser.add_argument("--photo", type=pathlib.Path, default=photo, help="a JPEG")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/m3a3")
    parser.add_argument("stacks", nargs="*", metavar="STACK", help=", ".join(STACKS))
    options = parser.parse_args()
    if unknown := set(options.stacks) - set(STACKS):
        parser.error(f"no such stack: {', '.join(unknown)}")
    turns = {name: [] for name in options.stacks or STACKS}
    for _ in range(options.rounds):
        for name, used in turns.items():
            used.append(turn(name, options))
    print("\n".join(table(turns)))


if __name__ == "__main__":
    main()
