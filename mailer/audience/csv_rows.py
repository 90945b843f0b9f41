"""What the columns of a member file mean, and a record of it as a row to import or the reason why not.

Standard header: `email,first_name,last_name,locale,time_zone`, in any order; each other column is an attribute of its name. A cell is text,
whatever it looks like: `=1+1` stays those four characters.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kairan import addresses, walltime
from kairan.i18n import gettext as _
from mailer.audience import attributes
from mailer.audience.csv_reader import Record

COLUMNS_MAX = 100
FIELD_MAX = 10_240
NAME_MAX = 200
_ADDRESS_NAMES = ("email", "e_mail", "mail")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")


class FileRefused(ValueError):
    """Nothing of the file can be imported; the message says why and what to do."""


class RowRefused(ValueError):
    """One row is left out; the message says why."""


@dataclass(slots=True)
class Row:
    """A member as the file has them."""

    line: int
    email: str
    address_key: bytes
    first_name: str
    last_name: str
    locale: str
    attributes: dict[str, Any]
    time_zone: str = ""

    def fill_from(self, other: "Row") -> None:
        """A later row of the same address fills what is empty here."""
        self.first_name = self.first_name or other.first_name
        self.last_name = self.last_name or other.last_name
        self.locale = self.locale or other.locale
        self.time_zone = self.time_zone or other.time_zone
        self.attributes = {**other.attributes, **self.attributes}


@dataclass(frozen=True, slots=True)
class Header:
    """Which column is what."""

    width: int
    email: int
    first_name: int | None
    last_name: int | None
    locale: int | None
    attributes: tuple[tuple[int, str], ...]
    time_zone: int | None = None

    @property
    def names(self) -> list[str]:
        return [name for _at, name in self.attributes]


def read_header(record: Record) -> Header:
    """Raises FileRefused."""
    if record.problem:
        raise FileRefused(_("The first line cannot be read as the names of the columns."))
    names = [_column_name(text) for text in record.fields]
    _check_names(names, record.fields)
    places = {name: at for at, name in enumerate(names)}
    extra = tuple((at, name) for at, name in enumerate(names) if name not in attributes.BUILT_IN)
    first_name, last_name, locale = (places.get(name) for name in ("first_name", "last_name", "locale"))
    return Header(len(names), places["email"], first_name, last_name, locale, extra, places.get("time_zone"))


def _column_name(text: str) -> str:
    name = re.sub(r"[\s-]+", "_", text.strip().lower())
    return "email" if name in _ADDRESS_NAMES else name


def _check_names(names: Sequence[str], written: Sequence[str]) -> None:
    if any("\udc80" <= letter <= "\udcff" for text in written for letter in text):
        raise FileRefused(_("The file is not in UTF-8. Save it as “CSV UTF-8” and upload it again."))
    if len(names) > COLUMNS_MAX:
        raise FileRefused(_("The file has %(count)s columns; at most %(max)s can be imported.", count=len(names), max=COLUMNS_MAX))
    if "email" not in names:
        raise FileRefused(
            _("The file has no column “email”. Its first line must name the columns, for example: email,first_name,last_name,locale")
        )
    for at, name in enumerate(names):
        if not name:
            raise FileRefused(_("Column %(number)s has no name in the first line.", number=at + 1))
        if name in names[:at]:
            raise FileRefused(_("The column “%(name)s” stands twice in the first line.", name=written[at].strip()[:80]))
        if name not in attributes.BUILT_IN:
            try:
                attributes.check_name(name)
            except attributes.AttributeRefused as refused:
                raise FileRefused(str(refused)) from refused


def read_row(record: Record, header: Header, address_key: Callable[[str], bytes]) -> Row:
    """`address_key` makes the key of a normal form. Raises RowRefused."""
    fields = record.fields
    _check_fields(record, header)
    email = fields[header.email].strip()
    try:
        key = address_key(addresses.normal(email))
    except addresses.AddressError as error:
        raise RowRefused(_("the address is not valid: %(reason)s", reason=why(error))) from error
    return Row(
        line=record.line,
        email=addresses.kept(email),
        address_key=key,
        first_name=name(_at(fields, header.first_name)),
        last_name=name(_at(fields, header.last_name)),
        locale=locale(_at(fields, header.locale)),
        attributes={name: value for at, name in header.attributes if (value := fields[at].strip())},
        time_zone=time_zone(_at(fields, header.time_zone)),
    )


def _check_fields(record: Record, header: Header) -> None:
    fields = record.fields
    if record.problem:
        raise RowRefused(record.problem)
    if len(fields) != header.width:
        raise RowRefused(_("it has %(count)s cells and the first line has %(width)s", count=len(fields), width=header.width))
    if any(len(text) > FIELD_MAX for text in fields):
        raise RowRefused(_("a cell is longer than %(max)s characters", max=FIELD_MAX))
    whole = "".join(fields)
    if "\x00" in whole:
        raise RowRefused(_("it holds a NUL character"))
    if not whole.isascii() and any("\ud800" <= letter <= "\udfff" for letter in whole):
        raise RowRefused(_("it is not in UTF-8"))
    if not fields[header.email].strip():
        raise RowRefused(_("the address is missing"))


def why(error: addresses.AddressError) -> str:
    """In the reader's language, without the details of a library."""
    return _(str(error).partition(":")[0])


def _at(fields: Sequence[str], at: int | None) -> str:
    return fields[at].strip() if at is not None else ""


def name(text: str) -> str:
    """Raises RowRefused."""
    if len(text) > NAME_MAX:
        raise RowRefused(_("a name is longer than %(max)s characters", max=NAME_MAX))
    return text


def time_zone(text: str) -> str:
    """`Asia/Tokyo`; empty stays empty. Raises RowRefused."""
    if text and not walltime.is_zone(text):
        raise RowRefused(_("“%(text)s” is no time zone such as Asia/Tokyo", text=text[:40]))
    return text


def locale(text: str) -> str:
    """`ja`, `en-GB`; empty stays empty. Raises RowRefused."""
    if text and (not _LOCALE.fullmatch(text) or len(text) > 16):
        raise RowRefused(_("“%(text)s” is no language such as ja or en-GB", text=text[:20]))
    return text.replace("_", "-")
