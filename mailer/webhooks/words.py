"""What webhooks are told: their kinds, and bodies as JSON. Names and numbers stay as they are; fields may be added."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kairan.i18n import lazy_gettext
from kairan.models.webhooks import FeedEntry

KINDS = {
    "open": lazy_gettext("A mail was opened or previewed"),
    "click": lazy_gettext("A link was clicked"),
    "unsubscribe": lazy_gettext("A member unsubscribed"),
    "bounce": lazy_gettext("An address is gone"),
    "complaint": lazy_gettext("A member reported a mail as spam"),
    "campaign": lazy_gettext("A campaign was scheduled, started, paused, sent or cancelled"),
}
TEST = "test"
OF_MEMBERS = frozenset(KINDS) - {"campaign"}


@dataclass(frozen=True, slots=True)
class Known:
    """What the ids of a batch stand for."""

    campaigns: Mapping[int, str]
    links: Mapping[tuple[int, int], Mapping[str, Any]]
    lists: Mapping[int, str]
    emails: Mapping[int, str] = field(default_factory=dict)
    """only of members who exist; empty where no webhook asks for addresses"""


def of_entry(entry: FeedEntry, known: Known, *, addresses: bool) -> str:
    data: dict[str, Any] = {"campaign": _campaign(entry.campaign_id, known), "member_id": _text(entry.member_id)}
    if addresses:
        data["email"] = known.emails.get(entry.member_id or 0)
    detail = entry.detail
    if entry.kind in ("open", "click"):
        data |= {"delivery": _text(detail["delivery"]), "machine": bool(detail["machine"]), "rule": detail["rule"]}
        data |= {"client": detail["client"], "device": detail["device"]}
    if entry.kind == "click":
        data["link"] = {"number": detail["link"], **known.links.get((entry.campaign_id or 0, detail["link"]), {})}
    if entry.kind == "unsubscribe":
        number = detail.get("list")
        data |= {"source": detail["source"], "list": {"id": _text(number), "name": known.lists.get(number)} if number else None}
    return body(entry.kind, entry.at, data)


def of_campaign(campaign_id: int, name: str, status: str, at: datetime, facts: Mapping[str, Any]) -> str:
    return body(f"campaign.{status}", at, {"campaign": {"id": str(campaign_id), "name": name}, **facts})


def body(kind: str, at: datetime, data: Mapping[str, Any]) -> str:
    moment = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"type": kind, "timestamp": moment, "data": data}, ensure_ascii=False)


def _campaign(campaign_id: int | None, known: Known) -> dict[str, Any] | None:
    return {"id": str(campaign_id), "name": known.campaigns.get(campaign_id)} if campaign_id else None


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
