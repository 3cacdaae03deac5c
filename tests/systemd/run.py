"""The product under the restrictions of the systemd units in config/: `run.py PATH_OF_THE_BINARY`.

It needs systemd-analyze, libseccomp and redis-server, but neither a running systemd nor root. Each process gets the
filters of system calls that systemd makes of its unit, with one difference: what SystemCallFilter= denies ends the
process, so that no denied call is overlooked. Mounts, users and addresses are not restricted here.
"""

import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from filters import settings
from installation import DEADLINE_S, eventually, upload_form

BINARY = Path(sys.argv[1]).resolve()
TESTS = Path(__file__).resolve().parent.parent
UNITS = sorted((TESTS.parent / "config").glob("*.service"))
IMAGE = TESTS / "fixtures/photo-orientation-6.jpg"
# The highest exposure that `systemd-analyze security` may compute, in tenths. Versions of systemd differ.
MAX_EXPOSURE = 20
TOKEN = "a-token-of-the-tests"


def unit(name):
    return TESTS.parent / "config" / f"m3a3-{name}.service"


def restricted(name, *command):
    """The command under the filters of this unit."""
    return [sys.executable, TESTS / "systemd/filters.py", unit(name), *command]


class Installation:
    """A folder, a Redis, a webhook receiver, and one process for each unit and instance."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="m3a3-")
        self.path = Path(self.folder.name)
        self.processes = {}
        self.redis, port = start_redis(self.path)
        self.webhooks = []
        self.receiver = receiver(self.webhooks)
        self.environment = {
            # A name, so that it is resolved.
            "REDIS_URL": f"redis://localhost:{port}",
            "M3A3_WEBHOOK__URL": f"http://localhost:{self.receiver.server_port}/",
            "M3A3_AUTH__TOKEN": TOKEN,
            "M3A3_SERVE__PORT": "0",
            "M3A3_GAME__PORT": "0",
        }

    def start(self, name, instance=""):
        """Starts the process of a unit, and returns its URL if it is a server."""
        service = settings(unit(name))
        arguments = service["ExecStart"][-1].replace("%i", instance).split()[1:]
        unset = " ".join(service.get("UnsetEnvironment", [])).split()
        environment = {key: value for key, value in self.environment.items() if key not in unset}
        log = (self.path / f"{name}{instance}.log").open("wb")
        process = subprocess.Popen(
            restricted(name, BINARY, *arguments),
            cwd=self.path,
            env=environment | {"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()
        self.processes[name + instance] = process
        first = process.stdout.readline()
        assert first, f"{name}{instance} does not start ({process.wait()}): {self.logs()}"
        return first.removeprefix("listening on ").strip()

    def logs(self):
        return "".join(f"\n{path.name}\n{path.read_text()}" for path in sorted(self.path.glob("*.log")))

    def terminate(self):
        """The exit codes of all processes."""
        for process in self.processes.values():
            process.terminate()
        return {name: process.wait(DEADLINE_S) for name, process in self.processes.items()}

    def end(self):
        for process in [*self.processes.values(), self.redis]:
            process.kill()
            process.wait()
        for process in self.processes.values():
            process.stdout.close()
        self.receiver.shutdown()
        self.receiver.server_close()
        self.folder.cleanup()


def start_redis(folder):
    """A Redis, and its port: a free one, unless another program takes it meanwhile."""
    ready = folder / "redis.sock"
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", ready, "--save", ""]
        redis = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        eventually("Redis listens or ends", lambda: ready.exists() or redis.poll() is not None)
        if redis.poll() is None:
            return redis, port


def receiver(received):
    """A server that records the bodies of webhooks."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def request(url, body=None, content_type="application/json", method=None):
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Content-Type": content_type} if body else {})
    sent = urllib.request.Request(url, body, headers, method=method)
    with urllib.request.urlopen(sent, timeout=DEADLINE_S) as answer:
        return answer.read()


def post(url, value):
    return json.loads(request(url, json.dumps(value).encode()))


def upload(url, user):
    return json.loads(request(f"{url}/enqueue", *upload_form(user, "a.jpg", IMAGE.read_bytes())))


class Units(unittest.TestCase):
    def test_no_unit_exposes_more_than_the_limit(self):
        for path in UNITS:
            command = ["systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={MAX_EXPOSURE}"]
            analyzed = subprocess.run([*command, path], capture_output=True, text=True)
            self.assertEqual(analyzed.returncode, 0, analyzed.stdout + analyzed.stderr)
            print("".join(analyzed.stdout.splitlines(True)[-1:]).strip().encode("ascii", "ignore").decode())

    def test_a_denied_call_ends_the_process_or_fails(self):
        """Without this, a filter that is not installed would pass all other tests."""

        def outcome(code):
            command = restricted("serve", sys.executable, "-c", f"import ctypes, mmap, os, socket\n{code}")
            return subprocess.run(command, capture_output=True, text=True)

        self.assertEqual(outcome("pass").returncode, 0)
        self.assertEqual(outcome("os.setpriority(os.PRIO_PROCESS, 0, 1)").returncode, -signal.SIGSYS)
        self.assertEqual(outcome("os.chroot('/')").returncode, -signal.SIGSYS)
        for code, error in [
            ("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", "Address family not supported"),
            ("mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)", "Operation not permitted"),
            ("libc = ctypes.CDLL(None); assert libc.unshare(0x10000000) == 0", "AssertionError"),
        ]:
            self.assertIn(error, outcome(code).stderr)


class Product(unittest.TestCase):
    def test_every_role_works_and_drains(self):
        m3a3 = Installation()
        self.addCleanup(m3a3.end)
        try:
            self.use(m3a3)
        except Exception as error:
            codes = {name: process.poll() for name, process in m3a3.processes.items()}
            raise AssertionError(f"{codes} (-{int(signal.SIGSYS)}: a denied call)\n{m3a3.logs()}") from error
        self.assertEqual(set(m3a3.terminate().values()), {0}, m3a3.logs())
        self.assertNotIn("Operation not permitted", m3a3.logs())

    def use(self, m3a3):
        api, game = m3a3.start("serve"), m3a3.start("game-server")
        for name, instance in [("thumbnail@", "1"), ("worker@", "warehouse"), ("worker@", "email")]:
            m3a3.start(name, instance)
        for server in (api, game):
            eventually(f"{server} is ready", lambda: is_ready(server))

        body = json.dumps({"email": "ada@example.org"}).encode()
        request(f"{api}/users/7", body, method="PUT")
        self.thumbnail(m3a3, api)
        with urllib.request.urlopen(f"{game}/leaderboard-feed", timeout=DEADLINE_S) as feed:
            self.assertEqual(post(f"{game}/score", {"username": "ada", "score": 42})["rank"], 1)
            eventually("the score is in the feed", lambda: b'"ada"' in feed.readline())
        post(f"{game}/place_order", {"orderId": "o-1", "userId": "7"})
        eventually("the order is reported", lambda: m3a3.webhooks)
        outbox = m3a3.path / "data/outbox"
        eventually("three mails are written", lambda: len(list(outbox.glob("*.eml"))) == 3)
        for server in (api, game):
            metrics = request(f"{server}/metrics")
            self.assertIn(b"\nprocess_open_fds ", metrics)
            eventually(f"no job of {server} waits", lambda: no_job_waits(request(f"{server}/metrics").decode()))

    def thumbnail(self, m3a3, api):
        status = self.done(api, upload(api, 7))
        thumbnail = request(api + status["thumbnailUrl"])
        self.assertEqual(thumbnail[:2], b"\xff\xd8")
        # The path of a file is opened by openat2, and a symbolic link within the root is followed.
        (m3a3.path / "data/photos").mkdir()
        (m3a3.path / "data/photos/1.jpg").write_bytes(IMAGE.read_bytes())
        (m3a3.path / "data/linked").symlink_to("photos")
        self.done(api, post(f"{api}/enqueue", {"userId": 8, "imagePath": "linked/1.jpg"}))

    def done(self, api, job):
        """The status of a job once it has ended; it must have succeeded."""
        ended = eventually("the job has ended", lambda: outcome(api + job["statusUrl"]))
        self.assertEqual(ended["status"], "done", ended)
        return ended


def outcome(url):
    """The status of a job that has ended."""
    status = json.loads(request(url))
    return None if status["status"] == "pending" else status


def is_ready(server):
    try:
        return b'"ready"' in request(f"{server}/readyz")
    except urllib.error.HTTPError:
        return False


def no_job_waits(metrics):
    waiting = re.findall(r'^m3a3_jobs\{[^}]*state="(?:queued|leased)"[^}]*\} (\d+)', metrics, re.MULTILINE)
    return all(count == "0" for count in waiting)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
