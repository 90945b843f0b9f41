"""Words, dates and numbers in the reader's language, in a request, a job and a command alike.

Babel is used directly with a ContextVar: flask-babel silently answers in English outside an app context, so jobs and mails would
speak the wrong language (LIBRARIES.md, section 10).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, tzinfo
from functools import cache
from typing import Any

from babel import Locale
from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.numbers import format_decimal, format_percent
from babel.support import LazyProxy, NullTranslations, Translations

from kairan import resources

LANGUAGES = ("en", "ja")
DEFAULT_LANGUAGE = "en"
_language: ContextVar[str] = ContextVar("kairan_language", default=DEFAULT_LANGUAGE)


def language() -> str:
    return _language.get()


def best_language(wanted: str | None) -> str:
    """The language we speak that is nearest to a locale such as `ja-JP`; English for what we do not speak."""
    short = (wanted or "").replace("_", "-").split("-")[0].lower()
    return short if short in LANGUAGES else DEFAULT_LANGUAGE


def set_language(wanted: str) -> None:
    _language.set(best_language(wanted))


@contextmanager
def speaking(wanted: str | None) -> Iterator[str]:
    """Everything said inside is in this language."""
    token = _language.set(best_language(wanted))
    try:
        yield _language.get()
    finally:
        _language.reset(token)


@cache
def catalogue(name: str) -> NullTranslations:
    if name == DEFAULT_LANGUAGE:
        return NullTranslations()
    return Translations.load(str(resources.path("kairan/locales")), [name], "kairan")


def gettext(message: str, **values: Any) -> str:
    text = str(catalogue(language()).gettext(message))
    return text % values if values else text


def ngettext(singular: str, plural: str, count: int, **values: Any) -> str:
    """`%(count)s` stands for the number, grouped for the reader."""
    text = str(catalogue(language()).ngettext(singular, plural, count))
    return text % {"count": number(count), **values}


def lazy_gettext(message: str) -> LazyProxy:
    """A message of a table written at import time, said in the reader's language when it is shown."""
    return LazyProxy(gettext, message, enable_cache=False)


def number(value: float) -> str:
    return str(format_decimal(value, locale=language()))


def percent(share: float, digits: int = 1) -> str:
    """0.413 is shown as 41.3 %."""
    return str(format_percent(share, format=f"#,##0.{'0' * digits} %" if digits else "#,##0 %", locale=language()))


def date(value: datetime, zone: tzinfo | None = None) -> str:
    return str(format_date(value.astimezone(zone), format="medium", locale=language()))


def day(value: datetime, zone: tzinfo | None = None) -> str:
    """Month and day, as a chart's axis has room for."""
    local = value.astimezone(zone)
    return f"{local.month}/{local.day}" if language() == "ja" else str(format_date(local, format="d MMM", locale=language()))


def month(value: datetime) -> str:
    return f"{value.year}年{value.month}月" if language() == "ja" else str(format_date(value, format="MMM yyyy", locale=language()))


def country(code: str) -> str:
    """Its name, or the code where nobody has named it."""
    return str(Locale(language()).territories.get(code, code))


def moment(value: datetime, zone: tzinfo | None = None) -> str:
    """To the minute, as pages show it."""
    clock = format_time(value, format="short", tzinfo=zone, locale=language())
    return f"{date(value, zone)}{' ' if language() == 'ja' else ', '}{clock}"


def exact(value: datetime, zone: tzinfo | None = None) -> str:
    """To the second, as evidence and tooltips show it."""
    return str(format_datetime(value, format="medium", tzinfo=zone, locale=language()))


def ago(value: datetime, now: datetime) -> str:
    return str(format_timedelta(value - now, add_direction=True, locale=language()))


def language_name(code: str) -> str:
    return str(Locale(code).get_display_name(code))
