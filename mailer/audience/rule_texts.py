"""How a segment's rule compares texts, with the same answer on SQLite and PostgreSQL.

Capital and small letters are one for A to Z alone: SQLite folds no others, and PostgreSQL folds them by its own locale.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, cast, func, not_
from sqlalchemy.dialects.postgresql import TEXT

from mailer.audience.rule_days import At
from mailer.audience.rules import Leaf

Condition = ColumnElement[bool]
Text = ColumnElement[str]
NEGATIONS = {"is_not": "is", "is_not_empty": "is_empty"}
"""operator → the one that it denies"""


@dataclass(frozen=True, slots=True)
class Asked:
    at: At
    sqlite: bool
    walked: bool
    """see unsubscribe.allowed.any_row"""


def fold(text: str) -> str:
    """A to Z small, every other letter as it is."""
    return "".join(letter.lower() if "A" <= letter <= "Z" else letter for letter in text)


def plain(text: Any, asked: Asked) -> Text:
    """By code points: the order of letters in a database's own language has no say."""
    found: Text = text if asked.sqlite else cast(text, TEXT).collate("C")
    return found


def folded(text: Any, asked: Asked) -> Text:
    return func.lower(plain(text, asked))


def compared(leaf: Leaf, text: Text, asked: Asked) -> Condition:
    """NULL only where `text` is."""
    if leaf.op in NEGATIONS:
        return not_(compared(Leaf(leaf.field, NEGATIONS[leaf.op], leaf.value), text, asked))
    if leaf.op == "is_empty":
        return plain(text, asked) == ""
    small = folded(text, asked)
    if leaf.op == "one_of":
        return small.in_([fold(each) for each in leaf.value])
    needle = fold(leaf.value)
    if leaf.op == "is":
        return small == needle
    if leaf.op == "begins_with":
        return func.substr(small, 1, len(needle)) == needle
    return holds(small, needle, asked)


def holds(text: Text, needle: str, asked: Asked) -> Condition:
    """Not LIKE: it has signs of its own, and SQLite's folds by itself."""
    found: ColumnElement[int] = func.instr(text, needle) if asked.sqlite else func.strpos(text, needle)
    return found > 0


def ends_with(text: Text, end: str, asked: Asked) -> Condition:
    found: Text = func.substr(text, -len(end)) if asked.sqlite else func.right(text, len(end))
    return found == end
