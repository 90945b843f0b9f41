"""Lists in pages by cursor: the next page begins after the last id shown, so nothing moves while one reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

from flask import request

Row = TypeVar("Row")
SIZE = 50
ID_DIGITS_MAX = 18
"""what fits the databases' whole numbers"""


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    rows: Sequence[Row]
    next: int | None
    """what `after` of the next page is; None: this is the last"""
    is_later: bool = False


def after() -> int | None:
    value = request.args.get("after", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) <= ID_DIGITS_MAX else None


def page(found: Sequence[Row], key: Callable[[Row], int], size: int = SIZE) -> Page[Row]:
    """Of `size + 1` rows asked for, the first `size`."""
    rows = found[:size]
    return Page(rows, key(rows[-1]) if len(found) > size else None, after() is not None)


def same_page(**changes: object) -> str:
    """The address of this page with some of its filters changed; an empty value drops one."""
    kept = {**request.args.to_dict(flat=False), **{name: [str(value)] for name, value in changes.items()}}
    query = urlencode([(name, value) for name, values in kept.items() for value in values if value])
    return f"{request.path}?{query}" if query else request.path
