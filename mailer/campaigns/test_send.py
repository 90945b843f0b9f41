"""Test sends: the campaign as a member would get it, to a few addresses, outside its deliveries, counted nowhere."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from kairan import addresses, i18n, outbox
from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign
from kairan.models.outbox import OutboxMail
from kairan.runtime import Runtime
from mailer.campaigns import compilation, revisions, versions
from mailer.campaigns.versions import Part
from mailer.compose import compiler
from mailer.compose.recipient import Marks, Recipient
from mailer.delivery.programs import date_header

KIND = "test"
ADDRESSES_MAX = 10


def write(
    session: Session, ground: Runtime, campaign_id: int, to: Sequence[str], *, now: datetime, sample: Recipient | None = None
) -> list[OutboxMail]:
    """Puts one mail an address into the outbox; ring mailer.delivery.system_mail after the commit. Raises ContentError, AddressError.

    HTML without beacon and with plain links, so that looking at it counts nothing; its unsubscribe link belongs to nobody.
    """
    campaign = session.get_one(Campaign, campaign_id)
    parts = versions.parts(revisions.content_of(revisions.current(session, campaign)))
    return [mail for part in parts for mail in _write_version(session, ground, campaign, part, len(parts) > 1, to, sample, now)]


def _write_version(
    session: Session,
    ground: Runtime,
    campaign: Campaign,
    part: Part,
    is_one_of_several: bool,
    to: Sequence[str],
    sample: Recipient | None,
    now: datetime,
) -> list[OutboxMail]:
    source = compilation.mailed_source(session, campaign, ground.settings.base_url, part.key)
    mark = _("Test %(version)s: %(subject)s") if is_one_of_several else _("Test: %(subject)s")
    subject = mark % {"version": part.key.upper(), "subject": source.subject} if source.subject.strip() else ""
    source = replace(source, subject=subject)
    compiled = compiler.compile_source(source)
    language = _language(part, sample)
    return [_write_one(session, ground, campaign.id, source, compiled, address, sample, language, now) for address in to]


def _language(part: Part, sample: Recipient | None) -> str:
    """The sample member's, if the version is for it; else one that it is for."""
    wanted = i18n.best_language(sample.locale if sample and sample.locale else i18n.language())
    return wanted if wanted in part.languages else part.languages[0]


def _write_one(
    session: Session,
    ground: Runtime,
    campaign_id: int,
    source: compiler.Source,
    compiled: compiler.Compiled,
    address: str,
    sample: Recipient | None,
    language: str,
    now: datetime,
) -> OutboxMail:
    names = ("花子", "佐藤") if language == "ja" else ("Hanako", "Sato")
    recipient = replace(sample, number=0, member_id=0, email=address) if sample else Recipient(0, 0, address, *names, language, {})
    tokens = ground.secrets.tokens
    marks = Marks(
        trace=tokens.trace_bytes(campaign_id, 0),
        act=tokens.act_bytes(0, campaign_id),
        message_id=secrets.token_hex(16).encode(),
        date=date_header(now),
    )
    message = compiled.programs["plain" if source.has_html else "text", language].splice(recipient, marks)
    return outbox.put(
        session,
        kind=KIND,
        sender=addresses.as_mailbox(source.from_email),
        recipient=address,
        message=message,
        now=now,
        campaign_id=campaign_id,
    )
