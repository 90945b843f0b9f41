"""The "when" of the review step as it is typed: now, at a time, at each member's local time, recurring; hours and pace."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from kairan import i18n, walltime
from kairan.i18n import gettext as _
from kairan.i18n import lazy_gettext, ngettext
from kairan.models.campaigns import Series
from kairan.walltime import Window
from mailer.campaigns import recurrence, schedule, series
from mailer.campaigns.recurrence import LAST, Rule
from mailer.campaigns.schedule import Plan, PlanWrong
from mailer.web import edge
from mailer.web.forms import Form

KINDS = ("now", "later", "local", "recurring")
_FORM = ("when", "at", "zone", "each_local", "every", "interval", "time", "starts_on", "day", "nth", "weekday", "ends_on", "count", "hours")
ONE = (*_FORM, "from", "until", "window_local", "per_hour")
MANY = ("days", "window_days")
DAY_NAMES = (
    lazy_gettext("Monday"),
    lazy_gettext("Tuesday"),
    lazy_gettext("Wednesday"),
    lazy_gettext("Thursday"),
    lazy_gettext("Friday"),
    lazy_gettext("Saturday"),
    lazy_gettext("Sunday"),
)
NTH = (
    (1, lazy_gettext("First")),
    (2, lazy_gettext("Second")),
    (3, lazy_gettext("Third")),
    (4, lazy_gettext("Fourth")),
    (LAST, lazy_gettext("Last")),
)
EVERY = (
    ("day", lazy_gettext("Days")),
    ("week", lazy_gettext("Weeks, on chosen days")),
    ("month", lazy_gettext("Months, on a day of the month")),
    ("nth", lazy_gettext("Months, on a day of the week")),
)


WEEKDAYS = tuple(enumerate(DAY_NAMES))
MONTH_DAYS = [(day, str(day)) for day in range(1, 32)]


def read(form: Form, now: datetime) -> Plan | None:
    """A plan that can be carried out, or None with what is wrong noted in the form."""
    kind = form.choice("when", _("When"), KINDS)
    plan = _plan(form, kind)
    if not form.is_right or plan is None:
        return None
    try:
        (series.check if plan.rule else schedule.check)(plan, now)
    except PlanWrong as wrong:
        form.wrong({"window": "from", "days": "days-0"}.get(wrong.field, wrong.field), wrong.message)
        return None
    return plan


def _plan(form: Form, kind: str) -> Plan | None:
    zone = form.raw("zone") or edge.zone().key
    if kind not in KINDS or not walltime.is_zone(zone):
        if kind in KINDS:
            form.wrong("zone", _("There is no time zone “%(zone)s”. Choose one such as Asia/Tokyo.", zone=zone))
        return None
    plan = Plan(zone=zone, window=_window(form), per_hour=_number(form, "per_hour", _("Mails an hour")))
    if kind in ("later", "local"):
        wall = form.wall_time("at", _("Date and time"))
        return replace(plan, wall=wall.replace(second=0, microsecond=0) if wall else None, local_time=kind == "local")
    if kind == "recurring":
        return replace(plan, rule=_rule(form, zone), local_time=form.yes("each_local"))
    return plan


def _window(form: Form) -> Window | None:
    if not form.yes("hours"):
        return None
    try:
        opens, closes = walltime.minutes_of(form.raw("from")), walltime.minutes_of(form.raw("until"))
    except ValueError:
        form.wrong("from", _("Enter hours such as 08:00 and 20:00."))
        return None
    return Window(opens, closes, frozenset(form.ids("window_days")) & frozenset(range(7)), form.yes("window_local"))


def _rule(form: Form, zone: str) -> Rule | None:
    every = form.choice("every", _("How often"), dict(EVERY))
    starts_on = _date(form, "starts_on", _("First day")) or edge.now().astimezone(ZoneInfo(zone)).date()
    by_weekday = every == "nth"
    try:
        minutes = walltime.minutes_of(form.raw("time"))
    except ValueError:
        form.wrong("time", _("Enter the time of day, such as 09:00."))
        return None
    return Rule(
        every="month" if by_weekday else every,
        minutes=min(minutes, 24 * 60 - 1),
        starts_on=starts_on,
        interval=_number(form, "interval", _("Every")) or 1,
        days=frozenset(form.ids("days")) if every == "week" else frozenset(),
        day=_signed(form, "day") if every == "month" else None,
        nth=_signed(form, "nth") if by_weekday else None,
        weekday=_signed(form, "weekday") if by_weekday else None,
        ends_on=_date(form, "ends_on", _("Last day")),
        count=_number(form, "count", _("How many times")),
    )


def _date(form: Form, name: str, label: str) -> date | None:
    if not form.raw(name):
        return None
    try:
        found = date.fromisoformat(form.raw(name))
    except ValueError:
        form.wrong(name, _("Enter: %(label)s", label=label))
        return None
    if not 2000 <= found.year <= 2200:
        form.wrong(name, _("Enter: %(label)s", label=label))
    return found


def _number(form: Form, name: str, label: str) -> int | None:
    text = form.raw(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 9):
        form.wrong(name, _("%(label)s: enter a whole number", label=label))
        return None
    return int(text)


def _signed(form: Form, name: str) -> int | None:
    text = form.raw(name)
    return int(text) if text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() and len(text) <= 3 else None


def carried(form: Form) -> Iterator[tuple[str, str]]:
    """What the question before the send hands on to the answer."""
    for name in ONE:
        if form.raw(name):
            yield name, form.raw(name)
    for name in MANY:
        for number in form.ids(name):
            yield name, str(number)


def chosen(form: Form, name: str) -> list[int]:
    """Days that are ticked; where nothing was asked yet, Monday for a series and every day for the hours."""
    return form.ids(name) if form.raw("when") else list(range(7 if name == "window_days" else 1))


def form_of(plan: Plan) -> Form:
    """A form that shows a plan, for a series to be changed."""
    from werkzeug.datastructures import MultiDict

    rule, window = plan.rule, plan.window
    held: MultiDict[str, str] = MultiDict({"when": "recurring", "zone": plan.zone})
    if rule is not None:
        held.update({"every": "nth" if rule.nth is not None else rule.every, "interval": str(rule.interval)})
        held.update({"time": walltime.clock_time(rule.minutes), "starts_on": rule.starts_on.isoformat()})
        held.update(
            {name: str(value) for name in ("day", "nth", "weekday", "ends_on", "count") if (value := getattr(rule, name)) is not None}
        )
        held.update({"days": [str(day) for day in sorted(rule.days)]})
    if plan.local_time:
        held["each_local"] = "yes"
    if window is not None:
        held.update({"hours": "yes", "from": walltime.clock_time(window.opens), "until": walltime.clock_time(window.closes)})
        held.update({"window_days": [str(day) for day in sorted(window.days)]})
        if window.local:
            held["window_local"] = "yes"
    if plan.per_hour is not None:
        held["per_hour"] = str(plan.per_hour)
    return Form(held)


# ---- in words


def _days(days: frozenset[int]) -> str:
    return _(", ").join(str(DAY_NAMES[day]) for day in sorted(days))


def window_words(window: Window) -> str:
    hours = {"from": walltime.clock_time(window.opens), "until": walltime.clock_time(window.closes)}
    days = _("every day") if len(window.days) == 7 else _days(window.days)
    if window.local:
        return _("Only from %(from)s to %(until)s by each member's clock, %(days)s.", **hours, days=days)
    return _("Only from %(from)s to %(until)s, %(days)s.", **hours, days=days)


def rule_words(rule: Rule) -> str:
    """`Every 2 weeks on Monday, Thursday at 09:00`. Languages without a plural have words of their own for each day, week, month."""
    held, count = {"at": walltime.clock_time(rule.minutes), "days": _days(rule.days), "day": rule.day}, rule.interval
    if rule.every == "day":
        return (
            _("Every day at %(at)s", **held)
            if count == 1
            else ngettext("After a day, at %(at)s", "Every %(count)s days at %(at)s", count, **held)
        )
    if rule.every == "week":
        if count == 1:
            return _("Every week on %(days)s at %(at)s", **held)
        return ngettext("After a week, on %(days)s at %(at)s", "Every %(count)s weeks on %(days)s at %(at)s", count, **held)
    held["day"] = _day_words(rule)
    if count == 1:
        return _("Every month on %(day)s at %(at)s", **held)
    return ngettext("After a month, on %(day)s at %(at)s", "Every %(count)s months on %(day)s at %(at)s", count, **held)


def _day_words(rule: Rule) -> str:
    if rule.nth is not None:
        nth, weekday = str(dict(NTH)[rule.nth]), str(DAY_NAMES[rule.weekday or 0])
        return _("the %(nth)s %(weekday)s", nth=nth.lower(), weekday=weekday)
    return _("the last day") if rule.day == LAST else _("day %(day)s", day=rule.day)


def plan_of_series(row: Series, plan: Plan) -> Plan:
    """`plan`: of its pattern, which holds window, limit and local time."""
    return replace(plan, zone=row.zone, wall=None, at=None, rule=recurrence.rule_of(row.rule))


def plan_words(plan: Plan, starts: datetime) -> list[str]:
    """What the question before the send says, a sentence each."""
    said = [_time_words(plan, starts)]
    if plan.window is not None:
        said.append(window_words(plan.window))
    if plan.per_hour is not None:
        said.append(ngettext("Not more than one mail an hour.", "Not more than %(count)s mails an hour.", plan.per_hour))
    return said


def _time_words(plan: Plan, starts: datetime) -> str:
    if plan.rule is not None:
        return _("%(rule)s (%(zone)s).", rule=rule_words(plan.rule), zone=_("each member's local time") if plan.local_time else plan.zone)
    if plan.wall is None:
        return _("It begins to go out in a minute. Until then you can undo it; afterwards you can pause it at any time.")
    shown = i18n.moment(walltime.moment_of(plan.wall, ZoneInfo(plan.zone)), ZoneInfo(plan.zone))
    if plan.local_time:
        first = i18n.moment(starts, ZoneInfo(plan.zone))
        return _(
            "Each member gets it on %(time)s of their own clock. It starts on %(first)s (%(zone)s), when that time comes in the first zone "
            "of the earth, and ends about 26 hours later. Members whose zone is not known get it by %(zone)s.",
            time=shown,
            first=first,
            zone=plan.zone,
        )
    words = _("It goes out on %(time)s (%(zone)s). Until then it can be taken back. Who has unsubscribed by then does not get it.")
    return words % {"time": shown, "zone": plan.zone}
