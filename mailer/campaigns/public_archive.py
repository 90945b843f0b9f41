"""A list's public archive: which of its campaigns everybody may read, and what their subjects and mails say to nobody in particular.

A campaign is shown when it was sent, to this list, and nobody took it out. Test sends are mails, not campaigns, so none is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from kairan import installation
from kairan.models.audience import Attribute, List
from kairan.models.campaigns import Campaign, CampaignList, CampaignStatus, Revision
from mailer.audience import lists
from mailer.compose import merge
from mailer.compose.findings import ContentError
from mailer.compose.footer import Organisation
from mailer.compose.merge import Scope
from mailer.compose.nodes import Context, Nodes
from mailer.compose.program import clean, render
from mailer.compose.recipient import Recipient
from mailer.compose.source import constants

NOBODY = Recipient(0, 0, "", "", "", "", {})
"""who a mail of the archive is made for: every merge field falls back"""
_ID_DIGITS_MAX = 18
Query = TypeVar("Query", bound=Select)  # type: ignore[type-arg]


@dataclass(frozen=True, slots=True)
class Entry:
    """A campaign as the archive names it."""

    campaign_id: int
    subject: str
    """empty: it cannot be said any more"""
    preheader: str
    sent_at: datetime


def find_list(session: Session, place: str) -> List | None:
    """The list that has a public archive at this id or slug; None: there is none, or none any more."""
    if place.isascii() and place.isdigit() and len(place) <= _ID_DIGITS_MAX:
        named = List.id == int(place)
    elif lists.SLUG.fullmatch(place):
        named = List.slug == place
    else:
        return None
    return session.scalars(select(List).where(named, List.public_archive.is_(True), List.archived_at.is_(None))).one_or_none()


def path(row: List) -> str:
    return f"/archive/{row.slug or row.id}"


def find(session: Session, list_id: int, campaign_id: int) -> Campaign | None:
    """The campaign if this list's archive shows it."""
    return session.scalars(_shown(select(Campaign), list_id).where(Campaign.id == campaign_id)).one_or_none()


def newest(session: Session, list_id: int, *, after: int | None, limit: int) -> list[Entry]:
    """The campaigns in the archive, the last sent first, going on after this one."""
    query = _said(list_id)
    if after is not None:
        query = query.where(_is_before(session, after))
    return _entries(session, query.order_by(Campaign.started_at.desc(), Campaign.id.desc()).limit(limit))


def entry(session: Session, list_id: int, campaign_id: int) -> Entry | None:
    return next(iter(_entries(session, _said(list_id).where(Campaign.id == campaign_id))), None)


def _is_before(session: Session, campaign_id: int) -> ColumnElement[bool]:
    """Also after one that was taken out since: its time stays what it was."""
    sent_at = session.scalars(select(Campaign.started_at).where(Campaign.id == campaign_id)).one_or_none()
    if sent_at is None:
        return Campaign.id < 0
    return or_(Campaign.started_at < sent_at, (Campaign.started_at == sent_at) & (Campaign.id < campaign_id))


def _said(list_id: int) -> "Select[Campaign, Revision]":
    says = (Revision.campaign_id == Campaign.id) & (Revision.number == Campaign.revision)
    return _shown(select(Campaign, Revision).join(Revision, says), list_id)


def _shown(query: Query, list_id: int) -> Query:
    return query.join(CampaignList, CampaignList.campaign_id == Campaign.id).where(
        CampaignList.list_id == list_id,
        CampaignList.excluded.is_(False),
        Campaign.status == CampaignStatus.SENT,
        Campaign.started_at.is_not(None),
        Campaign.in_archive.is_(True),
    )


def changed_at(session: Session, row: List) -> datetime:
    """When the archive changed last, in whole: also by a campaign that was taken out of it."""
    last = session.execute(
        select(func.max(Campaign.updated_at))
        .join(CampaignList, CampaignList.campaign_id == Campaign.id)
        .where(CampaignList.list_id == row.id, Campaign.started_at.is_not(None))
    ).scalar_one()
    return max(moment for moment in (last, row.changed_at, row.created_at) if moment is not None)


def lists_of(session: Session, campaign_id: int) -> Sequence[List]:
    """The lists of the campaign that have a public archive, by name."""
    return session.scalars(
        select(List)
        .join(CampaignList, CampaignList.list_id == List.id)
        .where(
            CampaignList.campaign_id == campaign_id,
            CampaignList.excluded.is_(False),
            List.public_archive.is_(True),
            List.archived_at.is_(None),
        )
        .order_by(List.name)
    ).all()


def put(campaign: Campaign, shown: bool, *, now: datetime) -> None:
    """Into the archives or out of them, whatever the campaign's status."""
    if campaign.in_archive != shown:
        campaign.in_archive, campaign.updated_at = shown, now


# ---- what it says to nobody


def _entries(session: Session, query: "Select[Campaign, Revision]") -> list[Entry]:
    """Subject and preheader of each, without the rest of the mail being made."""
    names = frozenset(session.execute(select(Attribute.name)).scalars())
    organisation = Organisation(**installation.get(session, "organisation"))
    return [
        _entry(campaign, revision, Scope(names, constants(campaign.name, organisation))) for campaign, revision in session.execute(query)
    ]


def _entry(campaign: Campaign, revision: Revision, scope: Scope) -> Entry:
    subject = _parsed(revision.subject, scope, "subject", "header")
    whole = Scope(scope.attribute_names, scope.constants, subject)
    preheader = _parsed(revision.preheader, whole, "preheader", "text")
    if campaign.started_at is None:
        raise LookupError(f"campaign {campaign.id} has not started")
    return Entry(campaign.id, _line(subject), _line(preheader), campaign.started_at)


def _parsed(written: str, scope: Scope, where: str, context: Context) -> Nodes:
    """Nothing where it cannot be read any more, as when it names an attribute that is gone: nobody is shown the merge language."""
    try:
        return merge.parse(written, scope, where, context)
    except ContentError:
        return ()


def _line(nodes: Nodes) -> str:
    return " ".join(clean(render(nodes, NOBODY)).split())
