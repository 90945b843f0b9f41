"""What a segment's rule means, said again in plain Python: the oracle that the SQL is held against."""

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from kairan import mail_domains
from mailer.audience.rules import DATE_OPS, NUMBER_OPS, Group, Leaf
from tests.audience.crowd import Crowd, Mail, Person

_SMALL = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class Oracle:
    def __init__(self, crowd: Crowd, now: datetime, zone: ZoneInfo) -> None:
        self.crowd, self.zone = crowd, zone
        self.today = now.astimezone(zone).date()

    def chosen(self, rule: Group) -> set[int]:
        return {person.id for person in self.crowd.people if self.fits(rule, person)}

    def fits(self, part: Group | Leaf, person: Person) -> bool:
        if isinstance(part, Leaf):
            return self.leaf(part, person)
        found = [self.fits(each, person) for each in part.parts]
        return {"all": all(found), "any": any(found), "none": not any(found)}[part.kind]

    def leaf(self, leaf: Leaf, person: Person) -> bool:
        if leaf.field.startswith("attributes."):
            return self.attribute(leaf, person.row["attributes"].get(leaf.field.removeprefix("attributes.")))
        if leaf.field in person.row and leaf.field != "created_at":
            return _text(leaf, person.row[leaf.field] or "")
        return bool(getattr(self, f"_{leaf.field}")(leaf, person))

    def attribute(self, leaf: Leaf, value: Any) -> bool:
        if leaf.op in NUMBER_OPS:
            return _number(leaf, value)
        if leaf.op in DATE_OPS:
            is_date = isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value)
            return bool(is_date) and self.dated(leaf, value)
        if leaf.op in ("yes", "no"):
            texts = ("true", "yes", "1") if leaf.op == "yes" else ("false", "no", "0")
            return value is (leaf.op == "yes") or (isinstance(value, str) and value.translate(_SMALL) in texts)
        if leaf.op in ("is_empty", "is_not_empty"):
            return (value is None or value == "") == (leaf.op == "is_empty")
        return _text(leaf, value if isinstance(value, str) else "")

    def dated(self, leaf: Leaf, value: str) -> bool:
        if leaf.op == "anniversary":
            days = [self.today + timedelta(days=each) for each in range(leaf.value + 1)]
            if any((day.month, day.day) == (2, 28) and (day + timedelta(days=1)).day == 1 for day in days) and value[5:] == "02-29":
                return True
            return (leaf.value >= 365 and "01-01" <= value[5:] <= "12-31") or _falls(value[5:], days)
        return self.day(leaf, value)

    def day(self, leaf: Leaf, value: str) -> bool:
        """`value` may be no day of the calendar: what counts is its form."""
        if leaf.op in ("on", "before", "after"):
            wanted = leaf.value.isoformat()
            return {"on": value == wanted, "before": value < wanted, "after": value > wanted}[leaf.op]
        today, ago, ahead = (
            self.today.isoformat(),
            (self.today - timedelta(days=leaf.value)).isoformat(),
            (self.today + timedelta(days=leaf.value)).isoformat(),
        )
        return {"in_next": today <= value <= ahead, "in_last": ago <= value <= today, "older_than": value < ago}[leaf.op]

    def _created_at(self, leaf: Leaf, person: Person) -> bool:
        return self.day(leaf, person.row["created_at"].astimezone(self.zone).date().isoformat())

    def _domain(self, leaf: Leaf, person: Person) -> bool:
        domain = person.row["email"].rpartition("@")[2].translate(_SMALL)
        wanted = leaf.value if leaf.op == "one_of" else (leaf.value,)
        return (domain in [each.translate(_SMALL).removeprefix("@") for each in wanted]) != (leaf.op == "is_not")

    def _provider(self, leaf: Leaf, person: Person) -> bool:
        domain = person.row["email"].rpartition("@")[2].translate(_SMALL)
        group = mail_domains.READY[leaf.value].domains
        return any(domain == each or domain.endswith("." + each) for each in group) != (leaf.op == "is_not")

    def _list(self, leaf: Leaf, person: Person) -> bool:
        return (leaf.value in person.lists) == (leaf.op == "in")

    def _consent(self, leaf: Leaf, person: Person) -> bool:
        stopped = person.is_suppressed or person.row["suspended_at"] or person.row["awaiting_guardian"]
        return (leaf.value in person.purposes and not stopped) == (leaf.op == "given")

    def _received(self, leaf: Leaf, person: Person) -> bool:
        return any(mail.accepted and mail.campaign == leaf.value for mail in person.mails) == (leaf.op == "was")

    def _latest(self, person: Person, number: int, *, opens: bool, clicks: bool) -> list[Mail]:
        known = [mail for mail in person.mails if mail.accepted and self._records(mail, opens, clicks)]
        known.sort(key=lambda mail: (mail.at is not None, mail.at or datetime.min, mail.campaign), reverse=True)
        return known[:number]

    def _records(self, mail: Mail, opens: bool, clicks: bool) -> bool:
        recording, records_opens, records_clicks = self.crowd.campaigns[mail.campaign]
        return recording == "identified" and (records_opens or not opens) and (records_clicks or not clicks)

    def _opened(self, leaf: Leaf, person: Person) -> bool:
        if person.row["recording"] != "identified":
            return False
        if leaf.op == "since":
            return any(at >= self._begins(leaf.value) for at in person.opened_at)
        return any(mail.opens for mail in self._latest(person, leaf.value, opens=True, clicks=False))

    def _clicked(self, leaf: Leaf, person: Person) -> bool:
        if person.row["recording"] != "identified":
            return False
        if leaf.op == "since":
            return any(at >= self._begins(leaf.value) for at in person.clicked_at)
        if leaf.op == "link":
            needle = leaf.value.translate(_SMALL)
            return any(needle in url.translate(_SMALL) for mail in person.mails for url in mail.urls)
        return any(mail.clicks for mail in self._latest(person, leaf.value, opens=False, clicks=True))

    def _did_nothing(self, leaf: Leaf, person: Person) -> bool:
        latest = self._latest(person, leaf.value, opens=True, clicks=True)
        is_known = person.row["recording"] == "identified" and person.row["format"] == "html"
        return is_known and len(latest) == leaf.value and not any(mail.opens or mail.clicks for mail in latest)

    def _begins(self, day: date) -> datetime:
        return datetime.combine(day, time.min, self.zone)


def _falls(month_day: str, days: list[date]) -> bool:
    """Also where the month has no such day: what counts is its place between the days there are."""
    return any(first.strftime("%m-%d") <= month_day <= last.strftime("%m-%d") for first, last in _years(days))


def _years(days: list[date]) -> list[tuple[date, date]]:
    years = sorted({day.year for day in days})
    return [(min(day for day in days if day.year == year), max(day for day in days if day.year == year)) for year in years]


def _text(leaf: Leaf, text: str) -> bool:
    text = text.translate(_SMALL)
    if leaf.op in ("is_empty", "is_not_empty"):
        return (text == "") == (leaf.op == "is_empty")
    if leaf.op == "one_of":
        return text in [each.translate(_SMALL) for each in leaf.value]
    needle = leaf.value.translate(_SMALL)
    return {"is": text == needle, "is_not": text != needle, "contains": needle in text, "begins_with": text.startswith(needle)}[leaf.op]


def _number(leaf: Leaf, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    if isinstance(value, str) and not (len(value) <= 15 and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value)):
        return False
    number = Decimal(repr(value)) if not isinstance(value, str) else Decimal(value)
    if leaf.op == "between":
        return Decimal(repr(leaf.value[0])) <= number <= Decimal(repr(leaf.value[1]))
    wanted = Decimal(repr(leaf.value))
    return {"equals": number == wanted, "less": number < wanted, "more": number > wanted}[leaf.op]
