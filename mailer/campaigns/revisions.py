"""What a campaign says: every save is a revision of its own, never changed. Two saves of one base: the second is told."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from kairan.models.campaigns import Campaign, CampaignStatus, Revision
from kairan.sql import locked
from mailer.compose import kinds

KINDS = kinds.KINDS


class RevisionConflict(Exception):
    """Somebody saved in between; `theirs` is what holds now, and nothing was overwritten."""

    def __init__(self, theirs: Revision) -> None:
        super().__init__(f"revision {theirs.number} was saved in between")
        self.theirs = theirs


class NotEditable(Exception):
    """A campaign on its way, or gone, cannot be changed; a paused one can."""


@dataclass(frozen=True, slots=True)
class Content:
    """Everything a revision says."""

    subject: str = ""
    preheader: str = ""
    from_name: str = ""
    from_email: str = ""
    reply_to: str | None = None
    kind: str = "html"
    content: str = ""
    text: str | None = None
    versions: dict[str, Any] = field(default_factory=dict)
    """see mailer.campaigns.versions"""


def content_of(revision: Revision) -> Content:
    return Content(**{name: getattr(revision, name) for name in Content.__dataclass_fields__})


def current(session: Session, campaign: Campaign) -> Revision:
    return session.get_one(Revision, (campaign.id, campaign.revision))


def save(session: Session, campaign_id: int, base: int, changes: dict[str, object], *, now: datetime, by: int | None = None) -> Revision:
    """Saves changed fields on top of revision `base`. Raises RevisionConflict, NotEditable. Saving what is there makes no revision."""
    return save_change(session, campaign_id, base, lambda content: replace(content, **changes), now=now, by=by)  # type: ignore[arg-type]


def save_change(
    session: Session, campaign_id: int, base: int, change: Callable[[Content], Content], *, now: datetime, by: int | None = None
) -> Revision:
    """The same for a change that depends on what is there; it may raise errors of its own."""
    held = locked(select(Campaign).where(Campaign.id == campaign_id), session).execution_options(populate_existing=True)
    campaign = session.execute(held).scalar_one()
    if campaign.status not in (CampaignStatus.DRAFT, CampaignStatus.PAUSED):
        raise NotEditable
    theirs = current(session, campaign)
    if theirs.number != base:
        session.expunge(theirs)  # so that it can still be read after the rollback that the exception brings
        raise RevisionConflict(theirs)
    before = content_of(theirs)
    content = change(before)
    if content == before:
        return theirs
    if campaign.status == CampaignStatus.PAUSED and campaign.started_at and content.versions.keys() != before.versions.keys():
        raise NotEditable  # whose mail a delivery is goes by the versions that were there at its start
    return _append(session, campaign, content, now, by)


def _append(session: Session, campaign: Campaign, content: Content, now: datetime, by: int | None) -> Revision:
    revision = Revision(
        campaign_id=campaign.id,
        number=campaign.revision + 1,
        saved_at=now,
        saved_by=by,
        **{name: getattr(content, name) for name in Content.__dataclass_fields__},
    )
    session.add(revision)
    session.execute(update(Campaign).where(Campaign.id == campaign.id).values(revision=revision.number, updated_at=now))
    session.flush()
    session.refresh(campaign)
    return revision


def repeat(session: Session, campaign: Campaign, *, now: datetime, by: int | None = None) -> Revision:
    """A new revision that says the same, of a campaign on its way: no lane that loaded the one before passes the gate from here on."""
    return _append(session, campaign, content_of(current(session, campaign)), now, by)


def first(session: Session, campaign: Campaign, content: Content, *, now: datetime, by: int | None = None) -> Revision:
    """The revision a new campaign is born with."""
    revision = Revision(
        campaign_id=campaign.id,
        number=1,
        saved_at=now,
        saved_by=by,
        **{name: getattr(content, name) for name in Content.__dataclass_fields__},
    )
    session.add(revision)
    session.flush()
    return revision
