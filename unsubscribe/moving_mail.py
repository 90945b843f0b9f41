"""The mails of a move: the link to the new address, and a word to the old one once it has happened."""

import secrets
from datetime import datetime

from sqlalchemy.orm import Session

from kairan import i18n, installation, outbox
from kairan.addresses import AddressError, masked
from kairan.i18n import gettext as _
from kairan.models.audience import AddressChange, Member
from kairan.tokens import PROOF_ADDRESS, TokenRing, confirm_path
from unsubscribe import choices

KIND = "address"


def can_be_sent(session: Session) -> bool:
    """There is an address that such mails come from."""
    return bool(installation.get(session, "sender").get("email"))


def put_link(session: Session, tokens: TokenRing, request: AddressChange, base_url: str, *, now: datetime) -> None:
    """To the new address, in the member's language and without a word about them: nobody has proved it yet."""
    with i18n.speaking(_language(session, request.member_id)):
        link = base_url + confirm_path(tokens.proof(PROOF_ADDRESS, request.id))
        name = installation.get(session, "organisation")["name"]
        text = _(
            "Somebody, probably you, asked that the mail of %(organisation)s go to this address from now on.\n\n"
            "If that is right, open this page within 24 hours and press its button:\n%(link)s\n\n"
            "If not, do nothing: nothing changes, and no mail comes here.",
            organisation=name,
            link=link,
        )
        _put(session, request.email, _("Confirm your new address"), text, now)


def put_notice(session: Session, member_id: int, before: str, email: str, *, now: datetime) -> None:
    """To the address before: whoever reads mails that were forwarded could have asked."""
    with i18n.speaking(_language(session, member_id)):
        text = _(
            "The mail of %(organisation)s that came to this address goes to %(address)s from now on. It was confirmed there.\n\n"
            "If you did not want this, write to %(contact)s.",
            organisation=installation.get(session, "organisation")["name"],
            address=masked(email),
            contact=installation.get(session, "organisation")["contact"],
        )
        _put(session, before, _("Your address was changed"), text, now)


def _language(session: Session, member_id: int) -> str:
    return choices.spoken(session, session.get_one(Member, member_id))


def _put(session: Session, recipient: str, subject: str, text: str, now: datetime) -> None:
    sender, organisation = installation.get(session, "sender"), installation.get(session, "organisation")
    address = sender.get("email", "")
    footer = "\n".join(line for line in (organisation["name"], organisation["address"], organisation["contact"]) if line)
    try:
        message = outbox.compose(
            sender_name=sender.get("name", ""),
            sender=address,
            recipient=recipient,
            subject=subject,
            text=f"{text}\n\n-- \n{footer}\n",
            message_id=f"address-{secrets.token_hex(12)}@{address.rpartition('@')[2]}",
            now=now,
        )
        outbox.put(session, kind=KIND, sender=address, recipient=recipient, message=message, now=now)
    except AddressError:  # a sender that is no mailbox (any more)
        return
