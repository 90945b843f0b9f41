"""Whether a campaign's mail to a member is allowed: the one rule that the snapshot and the gate both ask.

Every no stands here, so that a member stopped before the snapshot and one stopped at the gate are told by the same words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, literal, or_, select
from sqlalchemy.orm import aliased

from kairan.i18n import lazy_gettext
from kairan.models.audience import List, Member, Subscription
from kairan.models.campaigns import Campaign, CampaignList
from kairan.models.consent import Permission
from kairan.models.deliveries import Delivery, State
from kairan.models.suppression import Suppression, SuppressionReason
from unsubscribe import domains

REASONS = {
    "unsubscribed": lazy_gettext("unsubscribed"),
    "complaint": lazy_gettext("reported mail as unwanted"),
    "bounced": lazy_gettext("the address bounces"),
    "staff": lazy_gettext("on the suppression list"),
    "erased": lazy_gettext("erased"),
    "domain": lazy_gettext("the domain is on the suppression list"),
    "suspended": lazy_gettext("use suspended"),
    "guardian": lazy_gettext("awaiting guardian"),
    "paused": lazy_gettext("asked for a pause"),
    "no_consent": lazy_gettext("no consent for this purpose"),
    "not_in_list": lazy_gettext("left the list"),
    "weekly": lazy_gettext("wants one mail a week at most"),
    "monthly": lazy_gettext("wants one mail a month at most"),
    "excluded": lazy_gettext("in an excluded list"),
    "segment": lazy_gettext("not in the segment"),
    "excluded_segment": lazy_gettext("in an excluded segment"),
}
"""key of deliveries.reason and campaigns.left_out → words for people"""

_FREQUENCY_DAYS = {"weekly": 7, "monthly": 30}


Campaigns = int | ColumnElement[int]
"""a campaign's id, or the bind parameter that stands for it in a statement that is built once"""


@dataclass(frozen=True, slots=True)
class Moments:
    """The times the rule compares with: values, or the bind parameters of a statement that is built once (see `bound`)."""

    now: datetime | ColumnElement[datetime]
    ago: Mapping[str, datetime | ColumnElement[datetime]]
    """frequency → the beginning of its interval"""


def at(now: datetime) -> Moments:
    return Moments(now, {name: now - timedelta(days=days) for name, days in _FREQUENCY_DAYS.items()})


def bound() -> Moments:
    """Bind parameters for every moment; `values` fills them."""
    kind = Member.created_at.type
    return Moments(bindparam("now", type_=kind), {name: bindparam(f"ago_{name}", type_=kind) for name in _FREQUENCY_DAYS})


def values(now: datetime) -> dict[str, datetime]:
    """The parameters of a statement made with `bound()`."""
    return {"now": now, **{f"ago_{name}": now - timedelta(days=days) for name, days in _FREQUENCY_DAYS.items()}}


def any_row(*where: ColumnElement[bool], walked: bool) -> ColumnElement[bool]:
    """EXISTS for each member. `walked`: the statement looks at few of all members, so each is looked up by key.

    PostgreSQL otherwise reads the whole of subscriptions and permissions into a hash, for a piece of 2,000 members as for all: 2.4 s a
    piece at 1,000,000 members. OFFSET 0 is what it cannot turn into a hash.
    """
    found = select(literal(1)).where(*where).correlate(Member)
    return exists(found.offset(0) if walked else found)


def reason_against(campaign_id: Campaigns, when: datetime | Moments, *, walked: bool = True) -> ColumnElement[str]:
    """SQL for a statement over `members` (outer-joined): why this campaign may not reach the member now, NULL if it may.

    `walked`: see `any_row`; False for a count of everybody.
    """
    moments = at(when) if isinstance(when, datetime) else when
    return case(
        (Member.id.is_(None), "erased"),
        (suppressed().is_not(None), suppressed()),
        (domains.suppressed(), domains.REASON),
        (Member.suspended_at.is_not(None), "suspended"),
        (Member.awaiting_guardian, "guardian"),
        (Member.paused_until > moments.now, "paused"),
        # Consent through a list implies being in it, so the usual member costs one look-up; which of the two fails is asked after.
        (~_consented(campaign_id, walked), case((~_in_a_list(campaign_id, walked), "not_in_list"), else_="no_consent")),
        (and_(Member.frequency != "each", _had_mail_lately(campaign_id, moments, walked)), Member.frequency),
        else_=None,
    )


def suppressed() -> ColumnElement[str]:
    """Why the member's address is suppressed, NULL if it is not."""
    return select(Suppression.reason).where(Suppression.address_key == Member.address_key).correlate(Member).scalar_subquery()


def _has_lists(campaign_id: Campaigns) -> ColumnElement[bool]:
    return exists().where(CampaignList.campaign_id == campaign_id, CampaignList.excluded.is_(False))


def subscribed(campaign_id: Campaigns, *, excluded: bool, walked: bool) -> ColumnElement[bool]:
    """In one of the lists that bring members in, or in one of those that keep them out."""
    return any_row(
        CampaignList.campaign_id == campaign_id,
        CampaignList.excluded.is_(excluded),
        Subscription.list_id == CampaignList.list_id,
        Subscription.member_id == Member.id,
        Subscription.ended_at.is_(None),
        walked=walked,
    )


def _in_a_list(campaign_id: Campaigns, walked: bool) -> ColumnElement[bool]:
    """In one of the campaign's lists still; a campaign without lists reaches whoever its segment named."""
    return or_(subscribed(campaign_id, excluded=False, walked=walked), ~_has_lists(campaign_id))


def _consented(campaign_id: Campaigns, walked: bool) -> ColumnElement[bool]:
    """An active consent for the purpose of a list that brings the member in; for a campaign without lists, for its own purpose."""
    by_list = any_row(
        CampaignList.campaign_id == campaign_id,
        CampaignList.excluded.is_(False),
        Subscription.list_id == CampaignList.list_id,
        Subscription.member_id == Member.id,
        Subscription.ended_at.is_(None),
        List.id == CampaignList.list_id,
        # Not Member.id again: PostgreSQL may hash this subquery, and two outer keys made it a cross join of both tables (72 s).
        Permission.member_id == Subscription.member_id,
        Permission.purpose_id == List.purpose_id,
        Permission.withdrawn_at.is_(None),
        walked=walked,
    )
    by_purpose = any_row(
        Campaign.id == campaign_id,
        Permission.member_id == Member.id,
        Permission.purpose_id == Campaign.purpose_id,
        Permission.withdrawn_at.is_(None),
        walked=walked,
    )
    return or_(by_list, and_(~_has_lists(campaign_id), by_purpose))


def _had_mail_lately(campaign_id: Campaigns, moments: Moments, walked: bool) -> ColumnElement[bool]:
    """Had mail of another campaign within the member's own interval. Rows being sent count: the gate holds the member's lock."""
    other = aliased(Delivery)
    recent = [
        and_(Member.frequency == name, or_(other.ended_at > since, other.state == State.SENDING)) for name, since in moments.ago.items()
    ]
    return any_row(
        other.member_id == Member.id,
        other.campaign_id != campaign_id,
        other.state.in_([State.SENDING, State.ACCEPTED, State.UNCERTAIN]),
        or_(*recent),
        walked=walked,
    )


SUPPRESSION_REASONS = frozenset(SuppressionReason)
