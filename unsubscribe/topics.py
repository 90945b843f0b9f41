"""Lists as members see them: topics to choose from, those a mail came by, those that were ended through its link."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.audience import List, Subscription
from kairan.models.campaigns import CampaignList
from kairan.models.consent import ConsentAct, ConsentRow, Permission


@dataclass(frozen=True, slots=True)
class Topic:
    """A list as its members see it."""

    id: int
    name: str
    description: str
    chosen: bool
    """in the list, and the consent for its purpose holds"""


def offered(session: Session, member_id: int) -> list[Topic]:
    """The topics that a member may choose from: public ones, and those they are or were in."""
    permitted = exists().where(
        Permission.member_id == member_id, Permission.purpose_id == List.purpose_id, Permission.withdrawn_at.is_(None)
    ).correlate(List)  # fmt: skip
    rows = session.execute(
        select(List.id, List.name, List.description, Subscription.since, Subscription.ended_at, permitted.label("permitted"))
        .outerjoin(Subscription, (Subscription.list_id == List.id) & (Subscription.member_id == member_id))
        .where(List.archived_at.is_(None), or_(List.public, Subscription.since.is_not(None)))
        .order_by(List.name)
    )
    return [
        Topic(row.id, row.name, row.description, chosen=row.since is not None and row.ended_at is None and row.permitted) for row in rows
    ]


def of_campaign(session: Session, member_id: int, campaign_id: int | None) -> list[Topic]:
    """The lists by which the campaign reached the member and which they are still in."""
    rows = session.execute(
        select(List.id, List.name, List.description)
        .join(CampaignList, CampaignList.list_id == List.id)
        .join(Subscription, Subscription.list_id == List.id)
        .where(
            CampaignList.campaign_id == campaign_id,
            CampaignList.excluded.is_(False),
            Subscription.member_id == member_id,
            Subscription.ended_at.is_(None),
        )
        .order_by(List.id)
    )
    return [Topic(row.id, row.name, row.description, chosen=True) for row in rows]


def ended_names(session: Session, member_id: int, campaign_id: int | None) -> list[str]:
    """Names of the topics that were ended through this campaign's link; an undo is offered for them."""
    ids = [row.list_id for row in ended_through(session, member_id, campaign_id)]
    return list(session.execute(select(List.name).where(List.id.in_(ids)).order_by(List.name)).scalars()) if ids else []


def ended_through(session: Session, member_id: int, campaign_id: int | None) -> list[Any]:
    """The latest no to each topic that was said through this campaign's link and still holds."""
    rows = session.execute(
        select(ConsentRow.id, ConsentRow.list_id, ConsentRow.purpose_id, ConsentRow.detail)
        .join(Subscription, (Subscription.member_id == ConsentRow.member_id) & (Subscription.list_id == ConsentRow.list_id))
        .where(
            ConsentRow.member_id == member_id,
            ConsentRow.campaign_id == campaign_id,
            ConsentRow.act == ConsentAct.OPT_OUT,
            ConsentRow.recorded_at == Subscription.ended_at,
        )
        .order_by(ConsentRow.list_id)
    )
    return list(rows)


def has_any(session: Session, campaign_id: int | None) -> bool:
    """A campaign without lists has no topic to end: then the one click ends all."""
    has_list = exists().where(CampaignList.campaign_id == campaign_id, CampaignList.excluded.is_(False))
    return bool(session.execute(select(has_list)).scalar_one())


def wording(topic: Topic) -> str:
    """What a tick in the preference centre says yes to."""
    words = _("I want to receive “%(topic)s” by mail.", topic=topic.name)
    return f"{words}\n{topic.description}" if topic.description else words


def ending(topic: List) -> str:
    """What a tick taken away says no to."""
    return _("I want no more mail about “%(topic)s”.", topic=topic.name)
