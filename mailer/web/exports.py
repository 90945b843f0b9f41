"""Export of a campaign's events as CSV: personal data goes out only with a purpose and a recipient, which are written down first."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from flask import Blueprint, abort, render_template, request
from sqlalchemy import and_, select, tuple_
from werkzeug.wrappers import Response

from kairan import addresses
from kairan.i18n import gettext as _
from kairan.models.audience import Member
from kairan.models.audit import Provision
from kairan.models.campaigns import Campaign, Link
from kairan.models.events import Event, EventKind
from kairan.runtime import Runtime
from mailer.web import edge
from mailer.web.forms import Form

blueprint = Blueprint("exports", __name__)
COLUMNS = ("occurred_at", "type", "member_id", "email", "link", "kind", "label", "machine", "rule")
PIECE = 2_000
"""rows a read transaction: none may stay open as long as a slow download"""


@blueprint.get("/campaigns/<int:campaign_id>/export")
@edge.allowed("events.export")
def ask(campaign_id: int) -> str:
    return _page(campaign_id, None)


def _page(campaign_id: int, form: Form | None) -> str:
    with edge.reading() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
    return render_template("admin/export.html", campaign=campaign, form=form)


@blueprint.post("/campaigns/<int:campaign_id>/export")
@edge.allowed("events.export")
def export(campaign_id: int) -> edge.Answer:
    form = Form(request.form)
    purpose = form.text("purpose", _("Purpose of the export"), max_length=500)
    recipient = form.text("recipient", _("Who gets it"), max_length=500)
    if not form.is_right:
        return _page(campaign_id, form), 422
    with edge.writing() as session:
        if session.get(Campaign, campaign_id) is None:
            abort(404)
        actor = f"account:{edge.signed_in().id}"
        session.add(
            Provision(happened_at=edge.now(), actor=actor, what="events", object_id=campaign_id, purpose=purpose, recipient=recipient)
        )
        edge.audit(session, "export.events", campaign_id)
    return Response(
        lines(edge.runtime(), campaign_id, masked=not edge.can("member.address")),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="events-{campaign_id}.csv"'},
    )


def lines(ground: Runtime, campaign_id: int, *, masked: bool) -> Iterator[bytes]:
    """UTF-8 with a mark at the start, without which Excel reads Japanese as something else."""
    yield "\ufeff".encode() + _line(COLUMNS)
    after: tuple[datetime, int, int] | None = None
    while True:
        rows = _rows(ground, campaign_id, after)
        yield b"".join(_line(_cells(row, masked)) for row in rows)
        if len(rows) < PIECE:
            return
        after = rows[-1].Event.occurred_at, rows[-1].Event.entry, rows[-1].Event.slot


def _rows(ground: Runtime, campaign_id: int, after: tuple[datetime, int, int] | None) -> list[Any]:
    key = (Event.occurred_at, Event.entry, Event.slot)
    query = (
        select(Event, Member.email, Link.kind, Link.label)
        .outerjoin(Member, Member.id == Event.member_id)
        .outerjoin(Link, and_(Link.campaign_id == Event.campaign_id, Link.number == Event.link))
        .where(Event.campaign_id == campaign_id)
        .order_by(*key)
        .limit(PIECE)
    )
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*after))
    with ground.reading() as session:
        return list(session.execute(query))


def _cells(row: Any, masked: bool) -> tuple[object, ...]:
    event: Event = row.Event
    email = addresses.masked(row.email) if row.email and masked else row.email or ""
    return (
        event.occurred_at.isoformat(timespec="seconds"),
        EventKind(event.kind).name.lower(),
        event.member_id or "",
        email,
        event.link or "",
        row.kind or "",
        row.label or "",
        int(event.machine),
        event.rule,
    )


def _line(cells: tuple[object, ...]) -> bytes:
    held = io.StringIO()
    csv.writer(held).writerow([_harmless(str(cell)) for cell in cells])
    return held.getvalue().encode()


def _harmless(cell: str) -> str:
    """A label is whatever somebody wrote: a spreadsheet must not take it for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
