#!/usr/bin/env python3
"""What uploads cost from end to end: CPU seconds of all of m3a3 per 100 uploads of one photo.

    python3 benches/thumbnail/inputs.py
    cargo build --release
    python3 benches/thumbnail/uploads.py [--uploads N] [--photo FILE] [--separate]

Starts `m3a3 up` in an empty folder (every worker runs, and its own broker; with --separate a process each for the API
server and the thumbnail worker, on a redis-server that is counted too), uploads the photo by that many users, four at a
time, waits until every thumbnail and every other job is done, and reads what the processes have used.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
AT_ONCE = 4


def cpu_seconds(pid):
    """User and kernel mode of all threads (proc_pid_stat(5))."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def started(folder, binary, *args):
    process = subprocess.Popen([binary, *args, "--log-level", "warn"], cwd=folder, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def redis(folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", folder]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL), f"redis://127.0.0.1:{port}"


def upload(url, user, photo):
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="userId"\r\n\r\n{user}\r\n--{boundary}\r\n'
        f'Content-Disposition: form-data; name="image"; filename="photo.jpg"\r\n\r\n'
    )
    body = head.encode() + photo + f"\r\n--{boundary}--\r\n".encode()
    form = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/enqueue", body, form)) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(f"{url}/status-live/{user}?timeout=60") as answer:
        assert json.load(answer)["status"] == "done"


def wait_for_the_rest(folder, kinds):
    with sqlite3.connect(f"{folder}/data/m3a3.db") as database:
        marks = ", ".join("?" for _ in kinds)
        left = f"SELECT count(*) FROM jobs WHERE state IN ('queued', 'running') AND kind IN ({marks})"
        while database.execute(left, kinds).fetchone()[0]:
            time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--photo", type=pathlib.Path, default=ROOT / "target/thumbnail-inputs/6mp-420.jpg")
    parser.add_argument("--binary", default=str(ROOT / "target/release/m3a3"))
    parser.add_argument("--separate", action="store_true")
    options = parser.parse_args()
    photo = options.photo.read_bytes()
    folder = tempfile.mkdtemp()
    if options.separate:
        store, redis_url = redis(folder)
        server, line = started(folder, options.binary, "serve", "--port", "0", "--redis-url", redis_url)
        worker, _ = started(folder, options.binary, "worker", "thumbnail", "--redis-url", redis_url)
        processes, kinds = [store, server, worker], ["thumbnail"]
    else:
        server, line = started(folder, options.binary, "up", "--port", "0", "--game-port", "0")
        processes, kinds = [server], ["thumbnail", "warehouse", "email"]
    try:
        url = line.removeprefix("listening on ")
        upload(url, options.uploads + 1, photo)
        before = [cpu_seconds(process.pid) for process in processes]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda user: upload(url, user, photo), range(1, options.uploads + 1)))
        wait_for_the_rest(folder, kinds)
        used = sum(cpu_seconds(process.pid) for process in processes) - sum(before)
        print(f"{options.uploads} uploads of {options.photo.name}: {used * 100 / options.uploads:.2f} CPU seconds per 100")
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
