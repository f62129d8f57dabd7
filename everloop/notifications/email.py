"""Notices by email, over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from everloop.contracts.errors import ShouldFixArgument, ShouldRetryLater
from everloop.contracts.notifications import Notice

_TIMEOUT_S = 20.0
_PORTS = {"smtp": 587, "smtps": 465}
_PERMANENT = 500


class EmailChannel:
    """Sends plain text. A password is never sent without TLS.

    Args:
        url: ``smtp://`` or ``smtps://``, with user and password where the server asks for them.
        sender: address.
        recipients: addresses.

    Raises:
        ShouldFixArgument: ``url`` names no server.
    """

    name = "email"

    def __init__(self, url: str, sender: str, recipients: tuple[str, ...]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ShouldFixArgument(
                "The SMTP address is not smtp://[user:password@]host[:port].", "Correct it."
            )
        self._tls = parts.scheme == "smtps"
        self._host, self._port = parts.hostname, parts.port or _PORTS[parts.scheme]
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._sender, self._recipients = sender, recipients

    def send(self, notice: Notice) -> None:
        """See ``NoticeChannel``."""
        letter = message(notice, self._sender, self._recipients)
        try:
            with self._connected() as server:
                server.send_message(letter)
        except smtplib.SMTPRecipientsRefused as problem:
            codes = {code for code, _ in problem.recipients.values()}
            raise self._error(max(codes), "refused every recipient") from None
        except smtplib.SMTPResponseException as problem:
            raise self._error(problem.smtp_code, f"answered {problem.smtp_code}") from None
        except (smtplib.SMTPException, OSError) as problem:
            raise ShouldRetryLater(
                f"The mail server could not be reached ({type(problem).__name__}).",
                "It is tried again.",
            ) from None

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=_TIMEOUT_S, context=context
            )
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=_TIMEOUT_S)
            server.ehlo()
            if server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
            elif self._password:
                server.close()
                raise ShouldFixArgument(
                    "The mail server offers no TLS, and a password is never sent without.",
                    "Use smtps://, or a server with STARTTLS.",
                )
        if self._user:
            server.login(self._user, self._password)
        return server

    @staticmethod
    def _error(code: int, said: str) -> ShouldFixArgument | ShouldRetryLater:
        text = f"The mail server {said}."
        if code >= _PERMANENT:
            return ShouldFixArgument(text, "Check sender, recipients and password.")
        return ShouldRetryLater(text, "It is tried again.")


def message(notice: Notice, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """The letter; its Message-ID is the notice's, so that a repetition is the same letter."""
    letter = EmailMessage()
    letter["Subject"] = f"[everloop {notice.loop}] {notice.title}"
    letter["From"], letter["To"] = sender, ", ".join(recipients)
    letter["Message-ID"] = f"<{notice.notice_id}@everloop.invalid>"
    letter["Date"] = notice.at
    facts = "".join(f"{name}: {value}\n" for name, value in sorted(notice.facts.items()))
    letter.set_content(f"{notice.body or notice.title}\n\n{facts}")
    return letter
