"""Where a link with merge fields leads for the member who clicks it: the slow path behind tracking.endpoint."""

from collections.abc import Callable

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from kairan.models.audience import Attribute, Member
from kairan.models.deliveries import Delivery
from kairan.runtime import Runtime
from mailer.compose.compiler import MergeError
from mailer.compose.compiler import resolve as resolve_link
from mailer.compose.recipient import Recipient


def resolver(runtime: Runtime) -> Callable[[int, int, str], str | None]:
    """What tracking.endpoint.wrap takes: it may not import this package."""

    def find(campaign_id: int, number: int, link: str) -> str | None:
        with runtime.reading() as session:
            return resolve(session, campaign_id, number, link)

    return find


def resolve(session: Session, campaign_id: int, number: int, link: str) -> str | None:
    """`link` with the member's values, percent-encoded; with the fallbacks for a member who is erased or recorded in the aggregate
    (number 0). None when a field of it is gone."""
    names = frozenset(session.execute(select(Attribute.name)).scalars())
    member = session.execute(
        select(Member)
        .join(Delivery, and_(Delivery.member_id == Member.id, Delivery.campaign_id == campaign_id, Delivery.number == number))
        .limit(1)
    ).scalar_one_or_none()
    try:
        return resolve_link(link, _recipient(member, number), names)
    except MergeError:
        return None


def _recipient(member: Member | None, number: int) -> Recipient:
    if member is None:
        return Recipient(number, 0, "", "", "", "", {})
    return Recipient(number, member.id, member.email, member.first_name, member.last_name, member.locale, member.attributes)
