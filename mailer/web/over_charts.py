"""Charts over campaigns and members, each with its figures as a table."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from kairan import i18n
from kairan.i18n import gettext as _
from kairan.i18n import number, percent
from mailer.reports import charts
from mailer.reports.best_hour import Finding
from mailer.reports.charts import Series
from mailer.reports.over import CampaignResult
from mailer.web import edge

Chart = dict[str, Any]
TREND_MAX = 60


def trend(rows: Sequence[CampaignResult]) -> Chart | None:
    """Shares of members who opened and clicked, campaign by campaign; None with fewer than two."""
    told = [row for row in reversed(rows) if row.accepted][-TREND_MAX:]
    if len(told) < 2:
        return None
    series = [
        Series(_("Opened or previewed, in percent"), [round(100 * (row.open_rate or 0), 1) for row in told]),
        Series(_("Clicked, in percent"), [round(100 * (row.click_rate or 0), 1) for row in told]),
    ]
    labels = [f"{row.name} · {i18n.date(row.started_at, edge.zone())}" for row in told]
    days = [i18n.day(row.started_at, edge.zone()) for row in told]
    step = -(-len(days) // 8)
    ticks = [day if place % step == 0 else "" for place, day in enumerate(days)]
    last = told[-1]
    return _drawn(
        series,
        labels,
        ticks,
        title=_("Shares of the accepted, campaign by campaign"),
        description=_(
            "The last: %(opened)s opened, %(clicked)s clicked.", opened=percent(last.open_rate or 0), clicked=percent(last.click_rate or 0)
        ),
        name="trend",
        column=_("Campaign"),
    )


def beside(curves: Sequence[tuple[CampaignResult, tuple[list[int], list[int]]]]) -> Chart | None:
    """First opens in the first 48 hours, summed up, as shares of the accepted: campaigns of any size on one scale."""
    told = [(row, opens) for row, (opens, _clicks) in curves if row.accepted]
    if not told:
        return None
    series = []
    for row, opens in told:
        sums, so_far = [], 0
        for count in opens:
            so_far += count
            sums.append(round(100 * so_far / row.accepted, 1))
        series.append(Series(row.name, sums))
    labels = [_("+%(count)s h", count=place) for place in range(len(series[0].values))]
    return _drawn(
        series,
        labels,
        [label if place % 6 == 0 else "" for place, label in enumerate(labels)],
        title=_("Members who had opened or previewed, in percent of the accepted, by hour after the start"),
        description=", ".join(f"{line.name}: {number(line.values[-1])} %" for line in series),
        name="beside",
        column=_("Hour"),
    )


def growth(rows: Sequence[dict[str, Any]]) -> Chart:
    series = [
        Series(_("Members at the end of the month"), [row["members"] for row in rows]),
        Series(_("Joined"), [row["joined"] for row in rows]),
        Series(_("Left for good"), [row["left"] for row in rows]),
    ]
    labels = [month(row["month"]) for row in rows]
    return _drawn(
        series,
        labels,
        [label if place % 4 == 0 or place == len(labels) - 1 else "" for place, label in enumerate(labels)],
        title=_("Members by month"),
        description=_("%(members)s members at the end of the last month.", members=number(rows[-1]["members"])),
        name="growth",
        column=_("Month"),
    )


def groups(counts: dict[str, int]) -> list[tuple[str, str, int, float]]:
    """(key, name, members, share)"""
    names = {"active": _("Active"), "cooling": _("Cooling"), "asleep": _("Asleep"), "new": _("New"), "unknown": _("Not recorded by name")}
    whole = sum(counts.values()) or 1
    return [(key, names[key], counts[key], counts[key] / whole) for key in names]


def hours(found: Finding) -> Chart:
    """Each hour's mean with its interval, and a sentence that claims no more than they do."""
    rows = [
        (f"{each.hour}:00", each.campaigns, percent(each.mean), f"{percent(each.low)} – {percent(each.high)}", each.mean)
        for each in found.hours
    ]
    if found.best is None:
        words = _("There is too little to tell: an hour needs three campaigns to at least 30 members each.")
    elif len(found.hours) == 1:
        words = _("All campaigns that count went out in the same hour: there is nothing to compare it with.")
    elif found.is_clear:
        words = _("Campaigns sent at %(hour)s:00 were opened more than those of any other hour.", hour=found.best.hour)
    else:
        words = _("No hour is better than all others as far as these campaigns show: the intervals overlap.")
    return {"rows": rows, "words": words, "campaigns": found.campaigns}


def month(name: str) -> str:
    """`2026-11` as the reader writes it."""
    year, number_ = name.split("-")
    return i18n.month(datetime(int(year), int(number_), 15, tzinfo=UTC))


def _drawn(
    series: Sequence[Series], labels: Sequence[str], ticks: Sequence[str], *, title: str, description: str, name: str, column: str
) -> Chart:
    return {
        "key": charts.key(series),
        "svg": charts.line_chart(series, ticks, title=title, description=description, name=name),
        "table": charts.figures(series, labels, caption=title, first_column=column),
    }
