"""What came of a campaign, by API: figures, links by position, and its events streamed as a file."""

from datetime import datetime
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import StringConstraints

from kairan.i18n import gettext as _
from mailer.api.calls import Call, operation
from mailer.api.campaigns import find
from mailer.api.exports import saying
from mailer.api.idempotency import Answer
from mailer.api.problems import wrong_parameter
from mailer.api.shapes import Given, Shown
from mailer.reports import export, links, summary

Saying = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]


class Figures(Shown):
    """`people` and `machines` count fetches, `unique` deliveries."""

    people: int
    machines: int
    unique: int


class Hour(Shown):
    hour: datetime
    opens: Figures
    clicks: Figures


class Report(Shown):
    audience: int
    accepted: int
    rejected: int
    bounced: int
    unsubscribed: int
    complained: int
    opens: Figures
    clicks: Figures
    by_hour: list[Hour]


class LinkShown(Shown):
    number: int
    kind: Literal["text", "image"]
    label: str
    url: str
    clicks: int
    unique: int
    machines: int


class Links(Shown):
    items: list[LinkShown]
    next: str | None


class EventQuery(Given):
    """`purpose` and `recipient`: what the data is for and who gets it; without them the token's own."""

    type: Literal["open", "click"] | None = None
    format: Literal["jsonl", "csv", "parquet"] = "jsonl"
    purpose: Saying = ""
    recipient: Saying = ""


@operation("GET", "/campaigns/{campaign_id}/report", "report.view", {200: Report}, problems=(404,))
def report(call: Call, campaign_id: int) -> Answer:
    """The figures of a campaign, people and machines apart."""
    with call.reading() as session:
        find(session, campaign_id)
        found: dict[str, Any] = summary.report(session, campaign_id)
    return call.say(200, Report.model_validate(found))


@operation("GET", "/campaigns/{campaign_id}/links", "report.view", {200: Links}, problems=(404,))
def show_links(call: Call, campaign_id: int) -> Answer:
    """Each link position with what came of it."""
    with call.reading() as session:
        find(session, campaign_id)
        found = links.links(session, campaign_id)
    items = [LinkShown(**{name: getattr(link, name) for name in LinkShown.model_fields}) for link in found]
    return call.say(200, Links(items=items, next=None))


@operation(
    "GET", "/campaigns/{campaign_id}/events", "events.export", {200: "application/x-ndjson"}, query=EventQuery, problems=(404,)
)  # fmt: skip
def events(call: Call, campaign_id: int, query: EventQuery) -> Response:
    """The campaign's events as JSON Lines, CSV or Parquet, streamed. Each export stands in the register of provisions."""
    purpose, recipient = saying(call, query.purpose, query.recipient)
    wanted = export.Wanted(
        "events", query.format, scope=export.Scope(campaign_id, type=query.type), mask=not call.may("member.address")
    )  # fmt: skip
    with call.ground.writing() as session:
        find(session, campaign_id)
        try:
            export.check(session, wanted)
            export.provide(session, campaign_id, actor=call.actor, purpose=purpose, recipient=recipient, now=call.now)
        except export.MissingPurpose as missing:
            raise wrong_parameter(missing.field, _("Say what the data is for and who gets it.")) from None
        except export.MissingExtra as lacking:
            raise wrong_parameter("format", str(lacking)) from None
    pieces = export.stream(call.ground.database, wanted)
    name = f'attachment; filename="events-{campaign_id}.{query.format}"'
    return Response(pieces, content_type=export.FORMATS[query.format].media_type, headers={"Content-Disposition": name})
