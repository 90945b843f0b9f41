"""A posted form: what was typed, and what is wrong with it, kept together so that a page can show both and nothing is lost."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from werkzeug.datastructures import MultiDict

from kairan import addresses
from kairan.i18n import gettext as _


class Form:
    """Reads fields one by one; each reader notes an error and returns what it could read."""

    def __init__(self, posted: "MultiDict[str, str] | None" = None, **start: object) -> None:
        self._posted: MultiDict[str, str] = posted if posted is not None else MultiDict()
        self.values: dict[str, str] = {name: str(value or "") for name, value in start.items()}
        self.values.update({name: value for name, value in self._posted.items() if name != "csrf_token"})
        self.errors: dict[str, str] = {}

    def __bool__(self) -> bool:
        return True

    @property
    def is_right(self) -> bool:
        return not self.errors

    def wrong(self, name: str, message: str) -> None:
        self.errors.setdefault(name, message)

    def raw(self, name: str) -> str:
        return self.values.get(name, "").strip()

    def text(self, name: str, label: str, *, required: bool = True, max_length: int = 200, one_line: bool = True) -> str:
        value = self.raw(name)
        if required and not value:
            self.wrong(name, _("Enter: %(label)s", label=label))
        elif len(value) > max_length:
            self.wrong(name, _("%(label)s: at most %(count)s characters", label=label, count=max_length))
        elif one_line and ("\n" in value or "\r" in value):
            self.wrong(name, _("%(label)s: one line only", label=label))
        return value

    def email(self, name: str, label: str, *, required: bool = True) -> str:
        value = self.text(name, label, required=required, max_length=addresses.MAX_LENGTH)
        if value and name not in self.errors:
            try:
                addresses.normal(value)
            except addresses.AddressError as error:
                self.wrong(name, _("This is not a mail address: %(reason)s", reason=error))
        return value

    def choice(self, name: str, label: str, choices: Iterable[str] | Mapping[str, str]) -> str:
        value = self.raw(name)
        if value not in choices:
            self.wrong(name, _("Choose: %(label)s", label=label))
        return value

    def ids(self, name: str) -> list[int]:
        return [int(value) for value in self._posted.getlist(name) if value.isdigit()]

    def yes(self, name: str) -> bool:
        return bool(self.raw(name))

    def wall_time(self, name: str, label: str) -> datetime | None:
        """Of `<input type=datetime-local>`: without a zone."""
        try:
            return datetime.fromisoformat(self.raw(name)).replace(tzinfo=None)
        except ValueError:
            self.wrong(name, _("Enter: %(label)s", label=label))
            return None
