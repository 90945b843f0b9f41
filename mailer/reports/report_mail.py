"""Reports that come by mail: of one campaign so many hours after its start, or of all of them every week or month; to people who work here.

Figures only: nobody's address or name is in them. Text and HTML say the same, with a chart as PNG inside the mail.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader
from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from kairan import i18n, installation, outbox, resources
from kairan.addresses import AddressError
from kairan.i18n import gettext as _
from kairan.i18n import ngettext, number, percent
from kairan.models.accounts import Account
from kairan.models.campaigns import Campaign
from kairan.models.reports import ReportMail
from kairan.sql import locked
from mailer.accounts.authorize import may
from mailer.reports import over, pictures, summary
from mailer.reports.charts import Series
from mailer.reports.over import CampaignResult, Choice

AFTER_HOURS = (24, 48, 168)
EVERY = ("week", "month")
AT_HOUR = 8
"""o'clock in the person's own zone"""
SHOWN_HOURS = 48


@dataclass(frozen=True, slots=True)
class Report:
    """What a mail says."""

    subject: str
    lead: str
    figures: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, str, str, str]]
    """campaign, accepted, opened, clicked"""
    key: str
    """what the picture's lines stand for"""
    picture: bytes | None
    path: str


# ---- who wants what


def wanted(session: Session, account_id: int, campaign_id: int = 0) -> set[int | str]:
    """Hours after the start of this campaign; of all campaigns (0) `week`, `month`."""
    rows = session.scalars(select(ReportMail).where(ReportMail.account_id == account_id, ReportMail.campaign_id == campaign_id))
    return {row.every or row.after_hours for row in rows}


def want(session: Session, account: Account, choices: Iterable[int | str], *, campaign_id: int = 0, now: datetime) -> None:
    """Replaces what a person gets of this campaign, or of all. What was sent is not sent again."""
    chosen = {choice for choice in choices if choice in (AFTER_HOURS if campaign_id else EVERY)}
    before = wanted(session, account.id, campaign_id)
    for choice in before - chosen:
        session.execute(delete(ReportMail).where(*_is(account.id, campaign_id, choice)))
    campaign = session.get(Campaign, campaign_id) if campaign_id else None
    for choice in sorted(chosen - before, key=str):
        row = ReportMail(account_id=account.id, campaign_id=campaign_id, **_fields(choice))
        if isinstance(choice, str):
            row.next_at = next_time(choice, now, account.time_zone)
        elif campaign is not None and campaign.started_at is not None:
            row.next_at = campaign.started_at + timedelta(hours=choice)
        session.add(row)
    session.flush()


def _is(account_id: int, campaign_id: int, choice: int | str) -> list[ColumnElement[bool]]:
    fields = _fields(choice)
    return [
        ReportMail.account_id == account_id,
        ReportMail.campaign_id == campaign_id,
        ReportMail.every == fields["every"],
        ReportMail.after_hours == fields["after_hours"],
    ]


def _fields(choice: int | str) -> dict[str, int | str]:
    return {"every": choice, "after_hours": 0} if isinstance(choice, str) else {"every": "", "after_hours": choice}


def next_time(every: str, now: datetime, zone_name: str) -> datetime:
    """The next Monday or first of a month, at eight by the person's clock."""
    zone = ZoneInfo(zone_name)
    local = now.astimezone(zone)
    day = local.date() + timedelta(days=1)
    while day.weekday() != 0 if every == "week" else day.day != 1:
        day += timedelta(days=1)
    return datetime(day.year, day.month, day.day, AT_HOUR, tzinfo=zone)


# ---- sending


def put_due(session: Session, base_url: str, now: datetime) -> int:
    """Writes the mails whose time has come into the outbox. Returns how many; ring for system mail after the commit."""
    _begin_started(session)
    due = locked(select(ReportMail).where(ReportMail.next_at <= now).order_by(ReportMail.next_at).limit(50), session, skip=True)
    count = 0
    for row in session.scalars(due).all():
        account = session.get_one(Account, row.account_id)
        if account.disabled_at is None and may(account, "report.view"):
            with i18n.speaking(account.language):
                report = _campaign(session, row, now) if row.campaign_id else _all(session, row, account, now)
                if report is not None:
                    count += _put(session, account, report, base_url, now)
        row.sent_at, row.next_at = now, next_time(row.every, now, account.time_zone) if row.every else None
    session.flush()
    return count


def _begin_started(session: Session) -> None:
    """Campaigns that have started since somebody asked for their report."""
    waiting = select(ReportMail.id, ReportMail.after_hours, Campaign.started_at).join(Campaign, Campaign.id == ReportMail.campaign_id)
    unsent = ReportMail.next_at.is_(None), ReportMail.sent_at.is_(None), Campaign.started_at.is_not(None)
    for row_id, hours, started_at in session.execute(waiting.where(*unsent)).all():
        if started_at is not None:
            session.execute(update(ReportMail).where(ReportMail.id == row_id).values(next_at=started_at + timedelta(hours=hours)))


def _campaign(session: Session, row: ReportMail, now: datetime) -> Report | None:
    rows = over.results(session, over.chosen(session, Choice(ids=(row.campaign_id,))))
    if not rows:
        return None
    result = rows[0]
    hours = min(SHOWN_HOURS, max(2, int((now - result.started_at) / timedelta(hours=1)) + 1))
    start = result.started_at.replace(minute=0, second=0, microsecond=0)
    opens, clicks = [0] * hours, [0] * hours
    for found in summary.by_hour(session, result.id):
        place = int((found["hour"] - start) / timedelta(hours=1))
        if 0 <= place < hours:
            opens[place] += found["opens"]["unique"]
            clicks[place] += found["clicks"]["unique"]
    labels = [f"+{place}" if place % 6 == 0 else "" for place in range(hours)]
    picture = pictures.line_chart([Series("", opens), Series("", clicks)], labels) if any(opens) else None
    return Report(
        _("“%(name)s” after %(count)s hours", name=result.name, count=number(row.after_hours)),
        ngettext("It was accepted for one member.", "It was accepted for %(count)s members.", result.accepted),
        _figures(result),
        (),
        _("Members who opened or previewed (blue) and clicked (green) for the first time, by hour after the start."),
        picture,
        f"/campaigns/{result.id}",
    )


def _all(session: Session, row: ReportMail, account: Account, now: datetime) -> Report:
    since = now - (timedelta(days=7) if row.every == "week" else timedelta(days=31))
    rows = over.results(session, over.chosen(session, Choice(since=since, until=now)))
    told = [each for each in reversed(rows) if each.accepted]
    rates = [(100 * (each.open_rate or 0), 100 * (each.click_rate or 0)) for each in told]
    series = [Series("", [opened for opened, _clicked in rates]), Series("", [clicked for _opened, clicked in rates])]
    subject = _("The mails of the last week") if row.every == "week" else _("The mails of the last month")
    lead = ngettext("One campaign went out.", "%(count)s campaigns went out.", len(rows)) if rows else _("No campaign went out.")
    zone = ZoneInfo(account.time_zone)
    lines = [
        (f"{each.name}, {i18n.date(each.started_at, zone)}", number(each.accepted), _share(each.open_rate), _share(each.click_rate))
        for each in rows
    ]
    key = _("Shares of the accepted in percent, campaign by campaign: opened or previewed (blue), clicked (green).")
    picture = pictures.line_chart(series, [""] * len(told)) if len(told) > 1 else None
    return Report(subject, lead, (), lines, key, picture, "/reports")


def _figures(result: CampaignResult) -> list[tuple[str, str]]:
    return [
        (_("Accepted"), number(result.accepted)),
        (_("Opened or previewed"), f"{_share(result.open_rate)} ({number(result.openers)})"),
        (_("Clicked"), f"{_share(result.click_rate)} ({number(result.clickers)})"),
        (_("Unsubscribed"), f"{_share(result.unsubscribe_rate, 2)} ({number(result.unsubscribed)})"),
        (_("Rejected"), number(result.rejected)),
        (_("Fetched by a machine"), number(result.machines)),
    ]


def _share(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else percent(value, digits)


def _put(session: Session, account: Account, report: Report, base_url: str, now: datetime) -> int:
    sender = installation.get(session, "sender")
    address = sender.get("email") or account.email
    shown = {
        "report": report, "link": base_url + report.path, "settings": f"{base_url}/reports/by-mail", "_": _, "language": i18n.language(),
    }  # fmt: skip
    try:
        message = outbox.compose(
            sender_name=sender.get("name", ""), sender=address, recipient=account.email, subject=report.subject,
            text=_templates().get_template("report.txt").render(shown), html=_templates().get_template("report.html").render(shown),
            pictures={"chart": report.picture} if report.picture else {},
            message_id=f"report-{secrets.token_hex(12)}@{address.rpartition('@')[2]}", now=now,
        )  # fmt: skip
        outbox.put(session, kind="report", sender=address, recipient=account.email, message=message, now=now)
    except AddressError:  # an account's name that is no mailbox
        return 0
    return 1


@cache
def _templates() -> Environment:
    folder = str(resources.path("templates/mail"))
    return Environment(loader=FileSystemLoader(folder), autoescape=_is_html, trim_blocks=True, lstrip_blocks=True)


def _is_html(name: str | None) -> bool:
    return bool(name and name.endswith(".html"))
