"""What campaigns share and are begun with: the brand, saved sections, templates of one's own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from kairan import installation
from kairan.models.campaigns import Campaign, CampaignStatus, Revision
from kairan.models.library import SavedSection, Template
from mailer.campaigns import revisions
from mailer.compose import brand as brands
from mailer.compose import document
from mailer.compose.brand import Brand, Shared

OPEN = (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED, CampaignStatus.PAUSED)
"""campaigns that a change of what they share still reaches: what goes out was compiled"""
SECTIONS_MAX = 200


class NameTaken(ValueError):
    """A template or section of this name is there."""


class StillUsed(ValueError):
    """Campaigns that are yet to be sent hold it: `names` of some of them."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__("still used")
        self.names = tuple(names)


@dataclass(frozen=True, slots=True)
class Follower:
    """A campaign that is yet to be sent, and its name."""

    id: int
    name: str


# ---- the brand


def brand(session: Session) -> Brand | None:
    return brands.read(installation.get(session, "brand"))


def keep_brand(session: Session, given: Brand, *, now: datetime) -> None:
    installation.put(session, "brand", given.as_document(), now=now)


def shared(session: Session) -> Shared:
    """All that a mail of blocks may refer to."""
    sections = {row.id: row.section for row in session.scalars(select(SavedSection))}
    return Shared(brand(session), sections, installation.get(session, "organisation").get("name", ""))


def followers(session: Session) -> list[Follower]:
    """Campaigns whose look changes with the brand: mails of blocks that follow it."""
    return _holding(session, '"brand": true')


def _holding(session: Session, words: str) -> list[Follower]:
    current = and_(Revision.campaign_id == Campaign.id, Revision.number == Campaign.revision)
    rows = session.execute(
        select(Campaign.id, Campaign.name)
        .join(Revision, current)
        .where(Campaign.status.in_(OPEN), Revision.kind == "document", Revision.content.contains(words, autoescape=True))
        .order_by(Campaign.id.desc())
    ).all()
    return [Follower(number, name) for number, name in rows]


# ---- saved sections


def sections(session: Session) -> Sequence[SavedSection]:
    return session.scalars(select(SavedSection).order_by(SavedSection.name)).all()


def save_section(session: Session, name: str, given: Any, *, now: datetime, over: bool = False) -> SavedSection:
    """Saves a section under a name; `over`: instead of what was there by that name, in every mail that holds it. Raises DocumentError,
    NameTaken."""
    section = document.section(given)
    row = session.execute(select(SavedSection).where(SavedSection.name == name)).scalar_one_or_none()
    if row is not None and not over:
        raise NameTaken
    if row is None:
        row = SavedSection(name=name)
        session.add(row)
    row.section, row.updated_at = section, now
    session.flush()
    return row


def section_users(session: Session, section_id: int) -> list[Follower]:
    return [each for each in _holding(session, '"saved"') if section_id in _saved_in(session, each.id)]


def _saved_in(session: Session, campaign_id: int) -> set[int]:
    content = revisions.current(session, session.get_one(Campaign, campaign_id)).content
    return {node["attrs"]["id"] for node in json.loads(content)["body"]["content"] if node["type"] == "saved"}


def delete_section(session: Session, section_id: int) -> None:
    """Raises StillUsed: a mail without a part of it would go out."""
    users = section_users(session, section_id)
    if users:
        raise StillUsed([each.name for each in users[:5]])
    row = session.get(SavedSection, section_id)
    if row is not None:
        session.delete(row)


# ---- templates


def templates(session: Session) -> Sequence[Template]:
    return session.scalars(select(Template).order_by(Template.name)).all()


def save_template(session: Session, campaign: Campaign, name: str, *, now: datetime, by: int | None, over: bool = False) -> Template:
    """A template that says what the campaign says now. Raises NameTaken."""
    said = revisions.current(session, campaign)
    row = session.execute(select(Template).where(func.lower(Template.name) == name.lower())).scalar_one_or_none()
    if row is not None and not over:
        raise NameTaken
    if row is None:
        row = Template(name=name, created_by=by, created_at=now)
        session.add(row)
    row.subject, row.preheader, row.kind, row.content, row.updated_at = said.subject, said.preheader, said.kind, said.content, now
    session.flush()
    return row
