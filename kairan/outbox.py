"""System mail: written in the transaction of what caused it, so that neither is ever without the other."""

from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from sqlalchemy.orm import Session

from kairan import addresses, queues
from kairan.models.outbox import OutboxMail
from kairan.runtime import Runtime

SEND = "mailer.delivery.system_mail.send_due"
"""the RQ function that sends what is due; by name, since it stands above"""


def ring(ground: Runtime) -> None:
    """After the commit of `put`."""
    ground.queues.ring(queues.MAIL, SEND, timeout_s=1_800)


def compose(
    *,
    sender_name: str,
    sender: str,
    recipient: str,
    subject: str,
    text: str,
    message_id: str,
    now: datetime,
    html: str = "",
    pictures: Mapping[str, bytes] | None = None,
) -> bytes:
    """A mail of our own words, plain or with HTML beside the text; `pictures`: PNG by the name that HTML calls them by, `cid:NAME`.

    Values in headers must be ours: the stdlib's headers can be smuggled into (finding 3).
    """
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    message["From"] = f'"{_plain(sender_name)}" <{sender}>' if sender_name.isascii() and sender_name else sender
    message["To"] = recipient
    message["Subject"] = _plain(subject)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{message_id}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, cte="quoted-printable")
    if html:
        message.add_alternative(html, subtype="html", cte="quoted-printable")
        page: Any = message.get_payload(1)
        for name, picture in (pictures or {}).items():
            page.add_related(picture, "image", "png", cid=f"<{name}>", disposition="inline", filename=f"{name}.png")
    return dot_safe(message.as_bytes())


def _plain(text: str) -> str:
    return "".join(c for c in text.replace('"', "") if c.isprintable()).replace("=?", "= ?")


def dot_safe(message: bytes) -> bytes:
    """CRLF throughout, dots at column 0 doubled (RFC 5321 4.5.2), CRLF at the end: the bytes before the final dot."""
    lines = message.replace(b"\r\n", b"\n").split(b"\n")
    body = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    return body if body.endswith(b"\r\n") else body + b"\r\n"


def put(
    session: Session, *, kind: str, sender: str, recipient: str, message: bytes, now: datetime, campaign_id: int | None = None
) -> OutboxMail:
    """One mail on its way. Raises AddressError. The caller rings the mail queue after the commit."""
    row = OutboxMail(
        kind=kind,
        mail_from=sender,
        recipient=addresses.as_mailbox(recipient),
        message=message,
        campaign_id=campaign_id,
        due_at=now,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row
