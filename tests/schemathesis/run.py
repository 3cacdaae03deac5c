"""Both OpenAPI documents through schemathesis: `run.py PATH_OF_THE_BINARY`, with requirements.txt installed.

One installation in a temporary folder, `m3a3 up` on free ports, is asked with the tokens of a backend and of operators,
with a user token, and with a wrong token. No response may be a 5xx or undescribed, or differ from its schema; invalid
requests are refused, and valid ones are not. With the tokens of the backend, every operation must succeed once.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from email import message_from_bytes, policy
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))

from installation import DEADLINE_S, eventually, start_up, upload_form

FIXTURES = HERE.parent / "fixtures"
TOKEN = "the-token-of-the-backend"
OPERATOR_TOKEN = "the-token-of-the-operators"
LIMITS = ("uploads_per_minute", "scores_per_minute", "orders_per_minute", "requests_per_minute")
SETTINGS = {
    "auth.token": TOKEN,
    "auth.admin_token": OPERATOR_TOKEN,
    "auth.jwt.secret": "the-secret-of-the-tokens-of-users",
    "serve.long_poll_timeout_s": 1,
    # A job whose image is missing waits for the whole run, and can be cancelled and retried.
    "jobs.retry_base_s": 3600,
    "log.level": "warn,m3a3::jobs=error",
    **{f"limits.{name}": 0 for name in (*LIMITS, "polls", "feeds", "sockets")},
}


class Installation:
    """A folder, and `m3a3 up` in it."""

    def __init__(self, binary, folder):
        self.binary, self.path = binary, Path(folder)
        self.flags = [flag for key, value in SETTINGS.items() for flag in ("--set", f"{key}={value}")]
        self.log = (self.path / "stderr.log").open("wb")
        self.process, self.api, self.game, _ = start_up(binary, folder, self.flags, {}, self.log)

    def stderr(self):
        return (self.path / "stderr.log").read_text(errors="replace")

    def stop(self):
        self.process.terminate()
        assert self.process.wait(DEADLINE_S) == 0, self.stderr()
        assert "panicked" not in self.stderr(), self.stderr()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def user_token(self, user="1"):
        scopes = [flag for scope in ("upload", "status", "score", "order") for flag in ("--scope", scope)]
        command = [self.binary, "token", "mint", "--user", user, "--username", "ada", *scopes, *self.flags]
        minted = subprocess.run(command, cwd=self.path, env={}, check=True, stdout=subprocess.PIPE, text=True)
        return minted.stdout.strip()

    def send(self, method, url, body=None, content_type="application/json", token=TOKEN):
        body = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": content_type, "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(url, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            return json.load(answer)

    def upload(self, name):
        return self.send("POST", f"{self.api}/enqueue", *upload_form(1, name, (FIXTURES / name).read_bytes()))

    def confirmation(self):
        """The token of a link that confirms an address, of a user whom no example names."""
        user = "471147114711"
        self.send("PUT", f"{self.api}/users/{user}", {"email": "bob@example.org"}, token=self.user_token(user))

        def link():
            for path in (self.path / "data/outbox").glob("*.eml"):
                text = message_from_bytes(path.read_bytes(), policy=policy.default).get_body(("plain",)).get_content()
                if found := re.search(r"/confirm-email\?token=(\S+)", text):
                    return found[1]
            return None

        return eventually("a confirmation mail", link)

    def fill(self):
        """Creates what the examples of the documents name; returns the other values of parameters, by path."""
        self.send("PUT", f"{self.api}/users/1", {"username": "ada", "email": "ada@example.org"})
        self.send("POST", f"{self.game}/score", {"username": "ada", "score": 42})
        self.send("POST", f"{self.game}/place_order", {"orderId": "A-1001", "userId": "C-7"})
        replaced = self.path / "data/uploads/thumbs/1.jpg"
        replaced.parent.mkdir(parents=True)
        replaced.write_bytes((FIXTURES / "420.jpg").read_bytes())
        # Missing, so that its job waits.
        waiting = self.send("POST", f"{self.api}/enqueue", {"userId": 2, "imagePath": "missing.jpg"})["jobId"]
        job = self.upload("420.jpg")["jobId"]
        status = f"{self.api}/jobs/{job}"
        eventually("a thumbnail", lambda: self.send("GET", status)["status"] == "done")
        return {
            "/jobs/{jobId}": job,
            "/jobs/{jobId}/live": job,
            "/admin/jobs/{jobId}": job,
            "/admin/jobs/{jobId}/cancel": waiting,
            "/admin/jobs/{jobId}/retry": waiting,
            "/thumbnails/{name}": self.send("GET", status)["thumbnailUrl"].rsplit("/", 1)[1],
            "/uploads/thumbs/{name}": "1.jpg",
            "/confirm-email": self.confirmation(),
        }


class Runs:
    def __init__(self, installation, seed):
        self.installation, self.seed = installation, seed
        self.existing = installation.fill()
        self.failed = []

    def run(self, name, url, tokens, options):
        """Runs schemathesis, and returns the statuses that it has seen by method and path."""
        responses = self.installation.path / "responses"
        responses.write_text("")
        command = [
            Path(sys.executable).with_name("st"),
            *("--config-file", HERE / "schemathesis.toml", "run", f"{url}/openapi.json", "--seed", str(self.seed)),
            # By default, the path of the document itself is left out.
            *("--include-path-regex", ".", *options),
        ]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.installation.path),
            "PYTHONDONTWRITEBYTECODE": "1",
            # The order of sets is a part of what the seed decides.
            "PYTHONHASHSEED": "0",
            "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"),
            "M3A3_TOKEN": tokens[0],
            "M3A3_OPERATOR_TOKEN": tokens[1],
            "M3A3_EXISTING": json.dumps(self.existing),
            "M3A3_RESPONSES": str(responses),
        }
        print(f"\n-- {name}", flush=True)
        # Whatever it writes is removed with the folder.
        ran = subprocess.run(command, cwd=self.installation.path, env=environment)
        if ran.returncode != 0:
            self.failed.append(name)
        statuses = {}
        for line in responses.read_text().splitlines():
            operation, status = line.rsplit(" ", 1)
            statuses.setdefault(operation, set()).add(int(status))
        return statuses

    def expect_success(self, name, url, statuses):
        paths = self.installation.send("GET", f"{url}/openapi.json")["paths"]
        operations = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
        succeeded = {operation for operation in statuses if any(200 <= status < 300 for status in statuses[operation])}
        if missing := sorted(operations - succeeded):
            print(f"-- {name}: never succeeded: {', '.join(missing)}", flush=True)
            self.failed.append(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=10, help="requests per operation and phase")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="m3a3-") as folder:
        installation = Installation(arguments.binary.resolve(), folder)
        try:
            runs = Runs(installation, arguments.seed)
            user, few = installation.user_token(), max(arguments.examples // 3, 1)
            for server, url in (("API server", installation.api), ("game server", installation.game)):
                name = f"{server}, tokens of the backend and of operators"
                statuses = runs.run(name, url, (TOKEN, OPERATOR_TOKEN), ["--max-examples", str(arguments.examples)])
                runs.expect_success(name, url, statuses)
                brief = ["--max-examples", str(few), "--phases", "examples,fuzzing"]
                runs.run(f"{server}, user token", url, (user, user), brief)
                runs.run(f"{server}, wrong token", url, ("wrong", "wrong"), brief)
            installation.stop()
        finally:
            installation.end()
    if runs.failed:
        sys.exit(f"failed with seed {arguments.seed}: {'; '.join(runs.failed)}")


if __name__ == "__main__":
    main()
