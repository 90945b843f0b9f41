"""Tries a provider out: connection, TLS with its certificate, login and, if wished, one mail. Says in a sentence what is wrong."""

import asyncio
import re
from dataclasses import dataclass
from email.utils import make_msgid

from kairan import addresses, clock, outbox
from kairan.i18n import gettext as _
from kairan.settings import SmtpAccount
from mailer.delivery import outcomes
from mailer.delivery.smtp import Connection, ConnectionLost, ProviderTrouble, RefusedReply

_PREFIX = re.compile(r"^Error connecting to \S+ on port \d+: ")
"""of aiosmtplib; host and port are said anyway"""
PATIENCE_S = 20.0
"""for somebody who waits in front of a page; a lane waits longer"""


@dataclass(frozen=True, slots=True)
class Finding:
    good: bool
    says: str
    pipelines: bool = False


def try_out(account: SmtpAccount, mail_from: str = "", to: str = "") -> Finding:
    """Blocks for up to 20 s. With `to` one mail is sent there. Raises AddressError."""
    recipient = addresses.as_mailbox(to) if to else ""
    sender = addresses.as_mailbox(mail_from) if mail_from else recipient
    return asyncio.run(_try_out(account, sender, recipient))


async def _try_out(account: SmtpAccount, mail_from: str, to: str) -> Finding:
    try:
        async with asyncio.timeout(PATIENCE_S):
            connection = await Connection.open(account)
            try:
                if to:
                    return await _send(connection, mail_from, to)
                return Finding(True, _reached(account, connection), connection.pipelining)
            finally:
                await connection.leave()
    except ProviderTrouble as trouble:
        return Finding(False, explain(trouble, account))
    except TimeoutError:
        return Finding(False, _no_answer(account))


def _reached(account: SmtpAccount, connection: Connection) -> str:
    if account.security == "none":
        first = _("The server answers, without encryption.")
    else:
        first = _("The server answers, and its certificate is good.")
    return f"{first} {_('It accepted the login.') if account.user else _('No login was asked for.')}"


async def _send(connection: Connection, mail_from: str, to: str) -> Finding:
    try:
        await connection.transaction(mail_from.encode(), to.encode(), lambda: True)
        connection.write_message(_message(mail_from, to))
        reply = await connection.dot_reply()
    except RefusedReply as refusal:
        reply = refusal.reply
    except ConnectionLost as lost:
        return Finding(False, _("The connection broke while the mail was sent: %(why)s", why=lost.why))
    words = f"{reply.code} {outcomes.printable(reply.text)}"
    if reply.code == 530:
        return Finding(False, _("The server asks for a login: %(reply)s", reply=words))
    if reply.code >= 400:
        return Finding(False, _("The connection works, but the server refused the mail: %(reply)s", reply=words))
    return Finding(True, _("The server accepted the mail: %(reply)s", reply=words), connection.pipelining)


def _message(mail_from: str, to: str) -> bytes:
    return outbox.compose(
        sender_name="",
        sender=mail_from,
        recipient=to,
        subject=_("Test of a mail server"),
        text=_("Somebody who runs Kairan tried out this mail server. There is nothing to do."),
        message_id=make_msgid(domain=mail_from.rpartition("@")[2]).strip("<>"),
        now=clock.now(),
    )


def explain(trouble: ProviderTrouble, account: SmtpAccount) -> str:
    """What is wrong and what to do about it. The server's own words stand in it, since they say most."""
    why = outcomes.printable(_PREFIX.sub("", trouble.why))
    low = why.lower()
    where = {"host": account.host, "port": account.port}
    if trouble.refused_login:
        return _("%(why)s. Check user name and password.", why=_capital(why))
    if "certificate" in low and ("mismatch" in low or "not valid for" in low):
        return _("The certificate is not for %(host)s: write the host name that stands in the certificate.", **where)
    if "certificate" in low and ("issuer" in low or "self-signed" in low or "self signed" in low):
        return _(
            "The certificate of %(host)s comes from an authority that this machine does not know. "
            "Whoever runs it can name that authority in SSL_CERT_FILE.",
            **where,
        )
    if "certificate" in low:
        return _("The certificate of %(host)s is not good: %(why)s", why=why, **where)
    if "auth" in low and "not supported" in low and account.security == "none":
        return _("%(host)s:%(port)s takes no login without encryption. Choose STARTTLS or TLS.", **where)
    if "auth" in low and "not supported" in low:
        return _("%(host)s:%(port)s takes no login. Leave the user name empty, or use another port (587).", **where)
    if "starttls" in low and ("not supported" in low or "not advertised" in low):
        return _("%(host)s:%(port)s offers no STARTTLS. Choose TLS (mostly port 465) or another port (587).", **where)
    if any(word in low for word in ("ssl", "wrong version", "tls")):
        return _("%(host)s:%(port)s does not speak TLS as chosen: %(why)s. Try STARTTLS on 587 or TLS on 465.", why=why, **where)
    if any(word in low for word in ("name or service", "nodename", "getaddrinfo", "name resolution", "no address")):
        return _("There is no host named %(host)s.", **where)
    if "connect call failed" in low or "errno" in low:
        return _("Nothing answers on port %(port)s of %(host)s: %(why)s", why=why, **where)
    if "timed out" in low or "timeout" in low:
        return _no_answer(account)
    return _capital(why)


def _no_answer(account: SmtpAccount) -> str:
    return _(
        "%(host)s:%(port)s does not answer in time. Is the port right, and does the firewall let it out?",
        host=account.host,
        port=account.port,
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
