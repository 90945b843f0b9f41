"""Every word for people is there in Japanese too, with the same places for values."""

import re

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from kairan import resources

_PLACE = re.compile(r"%\((\w+)\)s")
_METHODS = [("**.py", "python"), ("**.html", "jinja2"), ("**.txt", "jinja2")]
_KEYWORDS = {"_": None, "gettext": None, "lazy_gettext": None, "ngettext": (1, 2)}
_OPTIONS = {"**.html": {"trimmed": "true"}}


def _said() -> set[tuple[str, ...]]:
    found = set()
    for folder in ("kairan", "mailer", "tracking", "unsubscribe", "templates"):
        for _file, _line, message, _comments, _context in extract_from_dir(
            str(resources.ROOT / folder), method_map=_METHODS, keywords=_KEYWORDS, options_map=_OPTIONS
        ):
            found.add((message,) if isinstance(message, str) else tuple(message))
    return found


@pytest.fixture(scope="module")
def japanese() -> dict[str, str]:
    with resources.path("kairan/locales/ja/LC_MESSAGES/kairan.po").open("rb") as file:
        catalogue = read_po(file, locale="ja")
    return {
        entry.id if isinstance(entry.id, str) else entry.id[0]: entry.string if isinstance(entry.string, str) else entry.string[0]
        for entry in catalogue
        if entry.id
    }


def test_every_message_has_its_japanese(japanese: dict[str, str]) -> None:
    assert sorted(message[0] for message in _said() if not japanese.get(message[0])) == []


def test_a_translation_has_the_places_of_its_message(japanese: dict[str, str]) -> None:
    wrong = []
    for message in _said():
        allowed = set().union(*(_PLACE.findall(text) for text in message)) | {"count"}
        needed = set(_PLACE.findall(message[-1])) - {"count"}
        places = set(_PLACE.findall(japanese.get(message[0], "")))
        if not needed <= places <= allowed:
            wrong.append(message[0])
    assert wrong == []
