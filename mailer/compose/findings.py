"""What a check has to say about a campaign, for a person and for the API."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """`rule` is a stable key, `where` the field of the campaign (`subject`, `content` …) and perhaps a line or link number in it."""

    level: Literal["error", "warning"]
    rule: str
    message: str
    where: str


class ContentError(ValueError):
    """The content cannot become a mail; the message says why, for the person who wrote it."""

    def __init__(self, rule: str, message: str, where: str = "content") -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.where = where

    @property
    def finding(self) -> Finding:
        return Finding("error", self.rule, self.message, self.where)


class MergeError(ContentError):
    """A merge field or tag that cannot stand where it stands. `field` is its name as written, `line` counts from 1."""

    def __init__(self, rule: str, message: str, where: str, *, field: str = "", line: int | None = None) -> None:
        super().__init__(rule, message, f"{where}:{line}" if line else where)
        self.field = field
        self.line = line
