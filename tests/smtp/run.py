"""Mail through aiosmtpd, read by Python's email package: `run.py PATH_OF_THE_BINARY`, with requirements.txt installed.

Each test has an installation of its own in a temporary folder: `m3a3 up`, everything in one process, on free ports.
Everything is awaited with a deadline.
"""

import email
import email.policy
import json
import sqlite3
import sys
import tempfile
import unittest
import urllib.request
from email.headerregistry import Address
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from installation import DEADLINE_S, eventually, start_up, upload_form
from server import MailServer, defects

BINARY = Path(sys.argv[1]).resolve()
FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
TLS = {"certificate": FIXTURES / "tls/receiver.pem", "key": FIXTURES / "tls/receiver.key"}
AUTHORITY = FIXTURES / "tls/authority.pem"
PASSWORD = "p/w: é@"
LOGIN = "ada%40example.org:p%2Fw%3A%20%C3%A9%40"
NAME = 'Åsa "日本" Öz, Ltd 🚀'


class Installation:
    """A folder, and `m3a3 up` in it."""

    def __init__(self, smtp_url, environment=None, settings=()):
        self.folder = tempfile.TemporaryDirectory(prefix="m3a3-")
        self.path = Path(self.folder.name)
        self.environment = environment or {}
        settings = [
            f"email.smtp_url={smtp_url}",
            "email.from=Büro m3a3 <post@m3a3.example>",
            "jobs.retry_base_s=0.1",
            "jobs.sweep_interval_s=0.1",
            "log.level=trace",
            *settings,
        ]
        self.flags = [flag for setting in settings for flag in ("--set", setting)]
        self.log = (self.path / "stderr.log").open("wb")
        self.start()

    def start(self):
        started = start_up(BINARY, self.path, self.flags, self.environment, self.log)
        self.process, self.api, self.game, self.reader = started

    def stderr(self):
        return (self.path / "stderr.log").read_text()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(DEADLINE_S) == 0, self.stderr()

    def end(self):
        self.kill()
        self.log.close()
        self.folder.cleanup()

    def database(self):
        return sqlite3.connect(self.path / "data/m3a3.db", timeout=10)

    def rows(self, query, *values):
        connection = self.database()
        try:
            with connection:
                return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def user(self, number, name, address):
        body = {key: value for key, value in (("username", name), ("email", address)) if value is not None}
        request = urllib.request.Request(
            f"{self.api}/users/{number}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="PUT"
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            assert answer.status in (200, 201), answer.status

    def upload(self, number, name, picture):
        return post(f"{self.api}/enqueue", *upload_form(number, name, picture))

    def order(self, order, user):
        body = json.dumps({"orderId": order, "userId": user}).encode()
        return post(f"{self.game}/place_order", body, "application/json")

    def get(self, path):
        with urllib.request.urlopen(self.api + path, timeout=DEADLINE_S) as answer:
            return answer.read()

    def jobs(self):
        """State, errors so far and last error of every mail's job."""
        return self.rows("SELECT state, attempts, ifnull(error, '') FROM jobs WHERE kind = 'email'")

    def until_done(self, count):
        done = "SELECT count(*) FROM mails WHERE state = 'sent'"
        eventually(f"{count} mails are sent", lambda: self.rows(done)[0][0] == count)

    def until_failed(self):
        """The error of the first mail's job that has one."""
        failed = eventually("an attempt fails", lambda: [job for job in self.jobs() if job[1] > 0])
        return failed[0][2]


def post(url, body, content_type):
    request = urllib.request.Request(url, body, {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
        return json.load(answer)


class Mail(unittest.TestCase):
    def server(self, *turns, **options):
        server = MailServer(turns, **options)
        self.addCleanup(server.stop)
        return server

    def installation(self, server, login="", scheme="smtp", query="", trusted=True, settings=()):
        environment = {"SSL_CERT_FILE": str(AUTHORITY)} if trusted else {}
        url = f"{scheme}://{login}{'@' if login else ''}127.0.0.1:{server.port}{query}" if server else ""
        installation = Installation(url, environment, settings)
        self.addCleanup(installation.end)
        return installation

    def test_all_mails_arrive_over_starttls_after_a_login_and_read_as_they_were_meant(self):
        server = self.server(**TLS, users={"ada@example.org": PASSWORD})
        m3a3 = self.installation(server, login=LOGIN)
        m3a3.user(7, NAME, "ada@bücher.example")
        picture = (FIXTURES / "420.jpg").read_bytes()
        m3a3.upload(7, "Zürich 日本.jpg", picture)
        m3a3.until_done(2)
        m3a3.upload(7, "half.jpg", picture[: len(picture) * 3 // 4])
        m3a3.order("A-1001", "7")
        m3a3.until_done(5)

        self.assertTrue(all(server.sessions), "every mail came over TLS")
        self.assertTrue(all(login == ("ada@example.org", PASSWORD, True) for login in server.logins), server.logins)
        mails = {str(mail.message["Subject"]): mail for mail in server.mails}
        self.assertEqual(
            set(mails),
            {
                "We have your picture Zürich 日本.jpg",
                "Your thumbnail of Zürich 日本.jpg is ready",
                "We have your picture half.jpg",
                "There is no thumbnail of half.jpg",
                "Your order A-1001",
            },
        )
        jobs = {job for (job,) in m3a3.rows("SELECT id FROM jobs WHERE kind = 'email'")}
        self.assertEqual({mail.message["Message-ID"] for mail in server.mails}, {f"<{job}@m3a3.example>" for job in jobs})
        for mail in server.mails:
            message = mail.message
            self.assertEqual(defects(message), [])
            self.assertEqual(mail.recipients, ["ada@xn--bcher-kva.example"])
            self.assertEqual(message["To"].addresses, (Address(NAME, addr_spec="ada@xn--bcher-kva.example"),))
            self.assertEqual(message["From"].addresses, (Address("Büro m3a3", addr_spec="post@m3a3.example"),))
            self.assertIsNotNone(message["Date"].datetime)
            self.assertEqual(message["Auto-Submitted"], "auto-generated")
            self.assertTrue(mail.text().startswith(f"Hello {NAME},\n"), mail.text())
            self.assertIn("<bdi>Åsa &quot;日本&quot; Öz, Ltd 🚀</bdi>", mail.html())
        self.check_picture(m3a3, mails["Your thumbnail of Zürich 日本.jpg is ready"])
        m3a3.stop()
        for secret in (PASSWORD, LOGIN, "ada@b", "ada@xn"):
            self.assertNotIn(secret, m3a3.stderr())

    def check_picture(self, m3a3, mail):
        """The picture inside of the mail is the user's thumbnail, byte for byte, and the page shows it."""
        images = [part for part in mail.message.walk() if part.get_content_maintype() == "image"]
        self.assertEqual(len(images), 1)
        status = json.loads(m3a3.get("/status/7"))
        self.assertEqual(images[0].get_content(), m3a3.get(status["thumbnailUrl"]))
        self.assertEqual(images[0].get_content_type(), "image/jpeg")
        self.assertEqual(images[0].get_content_disposition(), "inline")
        content_id = images[0]["Content-ID"].strip().strip("<>")
        self.assertIn(f'src="cid:{content_id}"', mail.html())
        kinds = [part.get_content_type() for part in mail.message.walk()]
        related = ["multipart/related", "text/html", "image/jpeg"]
        self.assertEqual(kinds, ["multipart/alternative", "text/plain", *related])

    def test_mail_arrives_over_tls_from_the_first_byte(self):
        server = self.server(**TLS, implicit=True)
        m3a3 = self.installation(server, scheme="smtps")
        m3a3.user(7, None, "ada@example.org")
        m3a3.order("o-1", "7")
        m3a3.until_done(1)
        self.assertEqual(server.sessions, [True])

    def test_a_name_before_the_at_may_be_of_any_language(self):
        server = self.server()
        m3a3 = self.installation(server)
        m3a3.user(7, "Jürgen", "jürgen@example.org")
        m3a3.order("o-1", "7")
        m3a3.until_done(1)
        self.assertEqual(server.mails[0].recipients, ["jürgen@example.org"])
        self.assertIn(" <jürgen@example.org>\r\n".encode(), server.mails[0].bytes)

    def test_a_wrong_password_is_tried_again_and_told_to_nobody(self):
        server = self.server(**TLS, users={"ada@example.org": "another"})
        m3a3 = self.installation(server, login=LOGIN)
        m3a3.user(7, None, "ada@example.org")
        m3a3.order("o-1", "7")
        self.assertEqual(m3a3.until_failed(), "the mail server refused the login of email.smtp_url (535)")
        # Whoever puts the server right gets the mail.
        server.users["ada@example.org"] = PASSWORD
        m3a3.until_done(1)
        self.assertEqual(len(server.mails), 1)
        m3a3.stop()
        for secret in (PASSWORD, LOGIN, "ada@"):
            self.assertNotIn(secret, m3a3.stderr())

    def test_a_certificate_that_is_not_trusted_gets_neither_mail_nor_password(self):
        server = self.server(**TLS, users={"ada@example.org": PASSWORD})
        m3a3 = self.installation(server, login=LOGIN, trusted=False)
        m3a3.user(7, None, "ada@example.org")
        m3a3.order("o-1", "7")
        self.assertRegex(m3a3.until_failed(), "certificate")
        self.assertEqual((server.mails, server.logins), ([], []))
        self.assertIn(m3a3.jobs()[0][0], ("queued", "running"))

    def test_starttls_is_used_without_a_password_too_unless_it_is_turned_off(self):
        server = self.server(**TLS)
        m3a3 = self.installation(server, query="?tls=none")
        m3a3.user(7, None, "ada@example.org")
        m3a3.order("o-1", "7")
        # The server asks for STARTTLS before a sender: about our configuration, so not the end.
        self.assertRegex(m3a3.until_failed(), "530")
        self.assertNotIn("dead", [job[0] for job in m3a3.jobs()])
        optional = self.installation(server)
        optional.user(7, None, "ada@example.org")
        optional.order("o-1", "7")
        optional.until_done(1)
        self.assertEqual(server.sessions, [True])

    def test_what_the_server_defers_hangs_at_or_breaks_off_is_sent_in_the_end_and_loses_nothing(self):
        server = self.server(
            ("recipient", "450 4.2.0 greylisted"),
            ("end", "451 4.3.0 later"),
            ("mid-data", "hang up"),
            ("end", "silence"),
        )
        m3a3 = self.installation(server, settings=["email.timeout_s=1"])
        m3a3.user(7, None, "ada@example.org")
        m3a3.order("o-1", "7")
        m3a3.until_done(1)
        self.assertEqual([(state, attempts) for state, attempts, _ in m3a3.jobs()], [("done", 4)])
        self.assertEqual(len(server.mails), 3)
        self.assertEqual(len({mail.bytes for mail in server.mails}), 1, "every attempt is the same mail")

    def test_what_the_server_refuses_is_dead_at_once(self):
        server = self.server(("recipient", "550 5.1.1 <ada@example.org> is nobody here"))
        m3a3 = self.installation(server)
        m3a3.user(7, None, "ada@example.org")
        m3a3.order("o-1", "7")
        error = m3a3.until_failed()
        self.assertEqual(error, "the mail server refused the mail: 550 5.1.1 <***> is nobody here")
        self.assertEqual([job[:2] for job in m3a3.jobs()], [("dead", 1)])
        self.assertEqual(m3a3.rows("SELECT state FROM mails"), [("failed",)])

    def test_a_kill_before_the_server_answers_repeats_the_mail_at_most_once(self):
        server = self.server(("end", "silence"))
        m3a3 = self.installation(server, settings=["jobs.lease_s=600"])
        m3a3.user(7, None, "ada@example.org")
        m3a3.order("o-1", "7")
        eventually("the mail is there", lambda: server.mails)
        m3a3.kill()
        m3a3.start()
        m3a3.until_done(1)
        self.assertEqual(len(server.mails), 2)
        self.assertEqual(server.mails[0].message["Message-ID"], server.mails[1].message["Message-ID"])
        self.assertEqual(server.mails[0].bytes, server.mails[1].bytes)

    def test_a_mail_in_a_file_is_read_like_any_other(self):
        m3a3 = self.installation(None)
        m3a3.user(7, NAME, "ada@example.org")
        m3a3.order("A-1001", "7")
        m3a3.until_done(1)
        files = list((m3a3.path / "data/outbox").glob("*.eml"))
        self.assertEqual(len(files), 1)
        message = email.message_from_bytes(files[0].read_bytes(), policy=email.policy.default)
        self.assertEqual(defects(message), [])
        self.assertEqual((message["Subject"], message["To"].addresses[0].display_name), ("Your order A-1001", NAME))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
