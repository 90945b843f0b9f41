"""The compiled programs of a campaign's revision, and which of them a member gets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.i18n import best_language
from kairan.models import campaigns as rows
from kairan.models.audience import Format, Recording
from kairan.tokens import TokenRing
from mailer.compose.program import Marks, Piece, Program
from mailer.delivery import signing, splits
from mailer.delivery.gate import Gated
from mailer.delivery.splits import Split

_STRICTNESS = {Recording.IDENTIFIED: 0, Recording.AGGREGATE: 1, Recording.NONE: 2}


def stricter(one: str, other: str) -> Recording:
    """The one of two recordings that tells less about the member."""
    return max(Recording(one), Recording(other), key=_STRICTNESS.__getitem__)


class NoVariant(Exception):
    """A delivery that waits for the winner of a trial was gated: only a due time that nobody should have given it does that."""


@dataclass(frozen=True)
class ProgramSet:
    """All programs of one revision with what a splice needs beside the member."""

    campaign_id: int
    revision: int
    from_email: str
    sender: bytes
    """of the envelope: who bounces go to"""
    recording: str
    default_language: str
    programs: Mapping[tuple[str, str, int], Program]
    """(format, language, variant)"""
    tokens: TokenRing
    split: Split | None = None
    """None: there is but one variant"""

    _chosen: dict[tuple[str, str, str, int], tuple[Piece, bool]] = field(default_factory=dict)
    """(locale, format, recording) of a member and the variant to what they get, and whether it is recorded as theirs"""

    def splice(self, gated: Gated, date: bytes) -> bytes:
        """The member's mail as bytes on the wire, as the member chose it when it was gated. Raises NoVariant."""
        variant = self.split.variant_of(gated.number) if self.split else 0
        if variant is None:
            raise NoVariant
        wish = (gated.locale, gated.format, gated.recording, variant)
        chosen = self._chosen.get(wish)
        if chosen is None:
            chosen = self._chosen[wish] = self._choose(*wish)
        splice, identified = chosen
        marks = Marks(
            self.tokens.trace_bytes(self.campaign_id, gated.number if identified else 0),
            self.tokens.act_bytes(gated.member_id, self.campaign_id),
            self.tokens.message_id(self.campaign_id, gated.number),
            date,
        )
        return splice(gated, marks)

    def _choose(self, locale: str, wanted_format: str, wanted_recording: str, variant: int) -> tuple[Piece, bool]:
        recording = stricter(self.recording, wanted_recording)
        kind = "text" if wanted_format == Format.TEXT else "plain" if recording is Recording.NONE else "html"
        program = self.programs[kind, best_language(locale or self.default_language), variant]
        return program.splice, recording is Recording.IDENTIFIED


def load(session: Session, campaign_id: int, tokens: TokenRing, default_language: str) -> ProgramSet | None:
    """The programs of the campaign's revision that holds now; None while it has not been compiled."""
    campaign = session.get_one(rows.Campaign, campaign_id)
    revision = session.get_one(rows.Revision, (campaign_id, campaign.revision))
    found = session.execute(
        select(rows.Program).where(rows.Program.campaign_id == campaign_id, rows.Program.revision == campaign.revision)
    ).scalars()
    programs = {(row.format, row.language, row.variant): Program.from_json(row.body) for row in found}
    if not programs:
        return None
    variants = 1 + max(variant for _format, _language, variant in programs)
    return ProgramSet(
        campaign_id=campaign_id,
        revision=campaign.revision,
        from_email=revision.from_email,
        sender=signing.envelope_sender(session, revision.from_email).encode("ascii"),
        recording=campaign.recording,
        default_language=default_language,
        programs=programs,
        tokens=tokens,
        split=splits.of(campaign.trial, variants),
    )


def date_header(now: datetime) -> bytes:
    """RFC 5322 date, in UTC."""
    return format_datetime(now).encode("ascii")
