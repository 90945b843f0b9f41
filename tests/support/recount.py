"""What the events of a campaign add up to, counted one by one and without the drain's own code."""

from collections import Counter, defaultdict
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.audience import Member
from kairan.models.events import Aspect, Engagement, Event, Facet, LinkEngagement, Rollup


def from_events(session: Session, campaign_id: int) -> dict[str, Any]:
    """Totals by name; events recorded in the aggregate leave no row and are not in it."""
    counts: dict[str, Any] = {"engagement": Counter(), "links": Counter(), "hours": Counter(), "facets": Counter()}
    firsts: defaultdict[tuple[int, str], list[Event]] = defaultdict(list)
    domains = {member_id: email.partition("@")[2] for member_id, email in session.execute(select(Member.id, Member.email))}
    query = select(Event).where(Event.campaign_id == campaign_id).order_by(Event.occurred_at, Event.entry, Event.slot)
    for event in session.scalars(query):
        who = "machine" if event.machine else "people"
        name = "open" if event.kind == 1 else "click"
        hour = event.occurred_at.replace(minute=0, second=0, microsecond=0)
        counts["engagement"][event.number, who, name] += 1
        counts["hours"][hour, event.kind, event.link, who] += 1
        if event.kind == 2:
            counts["links"][event.number, event.link, who] += 1
        values = {
            Aspect.CLIENT: event.client or "",
            Aspect.DEVICE: event.device or "",
            Aspect.COUNTRY: event.country or "",
            Aspect.RULE: event.rule,
            Aspect.DOMAIN: domains.get(event.member_id or 0, ""),
        }
        for aspect, value in values.items():
            counts["facets"][int(aspect), value, "machines" if event.machine else f"{name}s"] += 1
        if not event.machine:
            firsts[event.number, name].append(event)
    counts["openers"] = sum(name == "open" for _number, name in firsts)
    counts["clickers"] = sum(name == "click" for _number, name in firsts)
    return counts


def from_counters(session: Session, campaign_id: int) -> dict[str, Any]:
    """The same from what the drain added up. Uniques are totals: which hour a first fell into depends on who arrived first."""
    counts: dict[str, Any] = {"engagement": Counter(), "links": Counter(), "hours": Counter(), "facets": Counter()}
    for row in session.scalars(select(Engagement).where(Engagement.campaign_id == campaign_id)):
        for who, name, count in (
            ("people", "open", row.opens), ("people", "click", row.clicks),
            ("machine", "open", row.machine_opens), ("machine", "click", row.machine_clicks),
        ):  # fmt: skip
            counts["engagement"][row.number, who, name] += count
    for link in session.scalars(select(LinkEngagement).where(LinkEngagement.campaign_id == campaign_id)):
        counts["links"][link.number, link.link, "people"] += link.clicks
        counts["links"][link.number, link.link, "machine"] += link.machine_clicks
    openers = clickers = 0
    for hour in session.scalars(select(Rollup).where(Rollup.campaign_id == campaign_id)):
        counts["hours"][hour.hour, hour.kind, hour.link, "people"] += hour.people - hour.anonymous
        counts["hours"][hour.hour, hour.kind, hour.link, "machine"] += hour.machines
        openers += hour.unique if hour.kind == 1 else 0
        clickers += hour.unique_any
    uniques: Counter[tuple[int, str]] = Counter()
    for facet in session.scalars(select(Facet).where(Facet.campaign_id == campaign_id)):
        for name in ("opens", "clicks", "machines"):
            counts["facets"][facet.aspect, facet.value, name] += getattr(facet, name)
        uniques[facet.aspect, "openers"] += facet.openers
        uniques[facet.aspect, "clickers"] += facet.clickers
    for aspect in Aspect if uniques else ():
        assert (uniques[aspect, "openers"], uniques[aspect, "clickers"]) == (openers, clickers), aspect
    counts["openers"], counts["clickers"] = openers, clickers
    return counts


def assert_equal(session: Session, campaign_id: int) -> int:
    """Each counter is what its events add up to. Returns how many events there are."""
    recounted, counted = from_events(session, campaign_id), from_counters(session, campaign_id)
    for name, value in recounted.items():
        found = counted[name]
        assert (+found if isinstance(found, Counter) else found) == value, name
    return sum(recounted["engagement"].values())
