#!/usr/bin/env python3
"""Counts the instructions of requests, which no noise of the machine changes.

    python3 benches/api/instructions.py target/release/m3a3 [ANOTHER BINARY ...]

Each binary serves a new database below valgrind's callgrind, with one worker thread. The figure of a request is the
difference between 1,000 and 3,000 of them, so that the start does not count. System calls do not count either. Requires
valgrind.
"""

import pathlib
import re
import socket
import subprocess
import sys
import tempfile

FEW, MANY = 1000, 3000
PATHS = ["/healthz", "/status/404"]


def instructions(binary, path, count):
    """The instructions of a server that answers `count` requests."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "callgrind"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", binary, "serve", "--port", "0"]
        options = ["--set", "serve.workers=1", "--set", "log.level=error"]
        with subprocess.Popen(command + options, cwd=folder, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL) as server:
            port = int(server.stdout.readline().rsplit(":", 1)[1])
            with socket.create_connection(("127.0.0.1", port)) as connection:
                for _ in range(count):
                    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: m3a3\r\n\r\n".encode())
                    connection.recv(65536)
            server.terminate()
        return int(re.search(r"^(?:summary|totals): (\d+)", output.read_text(), re.MULTILINE).group(1))


def main():
    binaries = sys.argv[1:] or sys.exit(__doc__)
    for path in PATHS:
        for binary in (str(pathlib.Path(name).resolve()) for name in binaries):
            difference = instructions(binary, path, MANY) - instructions(binary, path, FEW)
            print(f"{path:12} {difference / (MANY - FEW):9,.0f} instructions  {binary}")


main()
