"""aiosmtpd as somebody else's mail server: it takes mail, or does what a test asks for, and keeps what came."""

import asyncio
import email
import email.policy
import logging
import ssl
import threading

from aiosmtpd.smtp import SMTP, AuthResult, syntax

# What it says of clients that break off, and of its own past.
logging.getLogger("mail").setLevel(logging.CRITICAL)


class Impatient(SMTP):
    """A server that may hang up after the first line of a mail."""

    @syntax("DATA")
    async def smtp_DATA(self, arg):
        if not self.event_handler.next_turn("mid-data"):
            return await super().smtp_DATA(arg)
        await self.push("354 Go on")
        await self._reader.readline()
        self.transport.abort()


class MailServer:
    """A running server. `turns` says of each attempt what is unusual about it, until there are no more."""

    def __init__(self, turns=(), certificate=None, key=None, implicit=False, users=None):
        self.turns = list(turns)
        self.mails = []
        self.logins = []
        self.sessions = []
        self.users = users or {}
        self.lock = threading.Lock()
        self.context = None
        if certificate:
            self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.context.load_cert_chain(certificate, key)
        self.implicit = implicit
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self.thread.start()
        assert started.wait(30), "the mail server does not start"

    def _run(self, started):
        asyncio.set_event_loop(self.loop)
        starttls = None if self.implicit else self.context

        def make():
            return Impatient(
                self,
                enable_SMTPUTF8=True,
                hostname="mail.example",
                tls_context=starttls,
                require_starttls=starttls is not None,
                authenticator=self.authenticate if self.users else None,
                auth_required=bool(self.users),
                auth_require_tls=starttls is not None,
                loop=self.loop,
            )

        context = self.context if self.implicit else None
        listening = self.loop.create_server(make, "127.0.0.1", 0, ssl=context)
        self.server = self.loop.run_until_complete(listening)
        self.port = self.server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()
        self.server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)

    def next_turn(self, moment):
        """What to do now, if that is what the next attempt is for."""
        with self.lock:
            if self.turns and self.turns[0][0] == moment:
                return self.turns.pop(0)[1]
        return None

    def authenticate(self, server, session, envelope, mechanism, data):
        login, password = data.login.decode(), data.password.decode()
        self.logins.append((login, password, session.ssl is not None or self.implicit))
        return AuthResult(success=self.users.get(login) == password, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options):
        envelope.rcpt_tos.append(address)
        return self.next_turn("recipient") or "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(Mail(envelope))
        self.sessions.append(session.ssl is not None or self.implicit)
        turn = self.next_turn("end")
        if turn == "silence":
            await asyncio.Event().wait()
        return turn or "250 Taken"


class Mail:
    """A mail as it came, read by Python's own package."""

    def __init__(self, envelope):
        self.recipients = list(envelope.rcpt_tos)
        self.bytes = envelope.original_content
        self.message = email.message_from_bytes(self.bytes, policy=email.policy.default)

    def text(self):
        return self.message.get_body(("plain",)).get_content().replace("\r\n", "\n")

    def html(self):
        return self.message.get_body(("html",)).get_content()


def defects(message):
    """Whatever Python finds wrong with a message, in any of its parts and headers."""
    found = []
    for part in message.walk():
        found += part.defects
        for value in part.values():
            found += getattr(value, "defects", ())
    return found
