"""Processes of the built binary for tests under Python. Everything is awaited with a deadline."""

import re
import subprocess
import threading
import time
import uuid

# How long anything may take that is expected to happen, and how often to look for it.
DEADLINE_S = 60
PROBE_S = 0.02


def eventually(what, condition):
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        threading.Event().wait(PROBE_S)
    return found


def start_up(binary, folder, flags, environment, log):
    """Starts `m3a3 up` on free ports. Returns the process, the URLs of both servers, and the thread that reads on."""
    command = [binary, "up", "--port", "0", "--game-port", "0", *flags]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    urls = {}
    for line in process.stdout:
        if found := re.match(r"^ +(API|game) +(http\S+)$", line):
            urls[found[1]] = found[2]
        if len(urls) == 2:
            break
    assert len(urls) == 2, f"it does not start, see {log.name}"
    # Further output must not fill the pipe.
    reader = threading.Thread(target=process.stdout.read, daemon=True)
    reader.start()
    return process, urls["API"], urls["game"], reader


def upload_form(user, name, image):
    """The body of an upload, and its media type."""
    boundary = uuid.uuid4().hex
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="userId"\r\n\r\n{user}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'
    ).encode()
    return body + image + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
