"""Who a mail goes to, as the gate returns it, and the marks that make this one mail answerable."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Recipient:
    """What a splice may know of a member. `number` is the delivery's number in its campaign.

    Not frozen, as is Marks: both are made once a mail, and a frozen one takes 1.5 us longer to make.
    """

    number: int
    member_id: int
    email: str
    first_name: str
    last_name: str
    locale: str
    attributes: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Both names in the order of the member's language: family name first in Japanese."""
        names = (self.last_name, self.first_name) if self.locale[:2].lower() == "ja" else (self.first_name, self.last_name)
        return " ".join(part for part in names if part)


@dataclass(slots=True)
class Marks:
    """ASCII bytes: the two tokens (kairan.tokens), the left side of the Message-ID, and the Date (RFC 5322 3.3)."""

    trace: bytes
    act: bytes
    message_id: bytes
    date: bytes
