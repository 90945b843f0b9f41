"""What a campaign says: every save is a revision of its own, never changed. Two saves of one base: the second is told."""

from dataclasses import dataclass, replace
from datetime import datetime

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


def content_of(revision: Revision) -> Content:
    return Content(**{name: getattr(revision, name) for name in Content.__dataclass_fields__})


def current(session: Session, campaign: Campaign) -> Revision:
    return session.get_one(Revision, (campaign.id, campaign.revision))


def save(session: Session, campaign_id: int, base: int, changes: dict[str, object], *, now: datetime, by: int | None = None) -> Revision:
    """Saves changed fields on top of revision `base`. Raises RevisionConflict, NotEditable. Saving what is there makes no revision."""
    held = locked(select(Campaign).where(Campaign.id == campaign_id), session).execution_options(populate_existing=True)
    campaign = session.execute(held).scalar_one()
    if campaign.status not in (CampaignStatus.DRAFT, CampaignStatus.PAUSED):
        raise NotEditable
    theirs = current(session, campaign)
    if theirs.number != base:
        session.expunge(theirs)  # so that it can still be read after the rollback that the exception brings
        raise RevisionConflict(theirs)
    content = replace(content_of(theirs), **changes)  # type: ignore[arg-type]
    if content == content_of(theirs):
        return theirs
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
