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
    session: Session,
    ground: Runtime,
    campaign_id: int,
    to: Sequence[str],
    *,
    now: datetime,
    sample: Recipient | None = None,
    kind: str = KIND,
    mark: bool = True,
) -> list[OutboxMail]:
    """Puts one mail an address into the outbox, or one of each version. Ring mailer.delivery.system_mail after the commit. Raises
    ContentError, AddressError.

    `mark`: the subject says that it is a test. HTML without beacon and with plain links, so that looking at it counts nothing; its
    unsubscribe link belongs to nobody.
    """
    campaign = session.get_one(Campaign, campaign_id)
    parts = versions.parts(revisions.content_of(revisions.current(session, campaign)))
    mails = []
    for part in parts:
        subject = _mark(part, len(parts) > 1) if mark else "%(subject)s"
        mails += _write_version(session, ground, campaign, part, subject, kind, to, sample, now)
    return mails


def _mark(part: Part, is_one_of_several: bool) -> str:
    """What the subject becomes."""
    said = _("Test %(version)s: %(subject)s") if is_one_of_several else _("Test: %(subject)s")
    return said.replace("%(version)s", part.key.upper())


def _write_version(
    session: Session,
    ground: Runtime,
    campaign: Campaign,
    part: Part,
    mark: str,
    kind: str,
    to: Sequence[str],
    sample: Recipient | None,
    now: datetime,
) -> list[OutboxMail]:
    source = compilation.mailed_source(session, campaign, ground.settings.base_url, part.key)
    subject = mark.replace("%(subject)s", source.subject) if source.subject.strip() else ""
    source = replace(source, subject=subject)
    compiled = compiler.compile_source(source)
    language = _language(part, sample)
    return [_write_one(session, ground, campaign.id, source, compiled, address, sample, language, kind, now) for address in to]


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
    kind: str,
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
        kind=kind,
        sender=addresses.as_mailbox(source.from_email),
        recipient=address,
        message=message,
        now=now,
        campaign_id=campaign_id,
    )
