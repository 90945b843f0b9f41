"""The shapes that several calls share: ids, single lines, addresses, pages."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from kairan import addresses
from kairan.i18n import gettext as _
from mailer.audience import csv_rows

ID_MAX = 10**18 - 1
"""18 digits: fits the databases' whole numbers"""
PAGE_MAX = 1_000


class Given(BaseModel):
    """What a caller sends. A field that is not there is refused: nobody sets what they were not meant to."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class Change(Given):
    """What is not given stays: the defaults of the fields are never looked at, so they are not described."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)


class Shown(BaseModel):
    """What a caller gets."""


class Nothing(Given):
    """No fields."""


def _id(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    raise ValueError(_("This must be an id: a text of digits."))


def _address(value: str) -> str:
    try:
        addresses.normal(value)
    except addresses.AddressError as error:
        raise ValueError(_("The address is not valid: %(reason)s", reason=csv_rows.why(error))) from error
    return value.strip()


def _lf(value: str) -> str:
    return value.replace("\r\n", "\n")


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError(_("This must be a time, such as 2026-11-24T09:00:00Z.")) from None


Moment = Annotated[AwareDatetime, AfterValidator(_utc)]
Id = Annotated[int, BeforeValidator(_id), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,18}$"})]
Ids = Annotated[list[Id], Field(max_length=100)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""one line with something in it"""
MaybeLine = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=5_000), AfterValidator(_lf)]
"""some lines with something in them"""
Address = Annotated[str, StringConstraints(max_length=addresses.MAX_LENGTH + 2), AfterValidator(_address)]
Cursor = Annotated[int, BeforeValidator(_id), WithJsonSchema({"type": "string"})]


class PageQuery(Given):
    """Which part of a list: `limit` at most, going on after the `next` of the page before."""

    cursor: Cursor | None = None
    limit: int = Field(100, ge=1, le=PAGE_MAX)

    @property
    def after(self) -> int:
        return self.cursor or 0


def text_id(number: int | None) -> str | None:
    return None if number is None else str(number)
