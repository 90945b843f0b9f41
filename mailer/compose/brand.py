"""The brand: colours, font, logo, social links and footer words that mails of blocks follow, and what else several mails share."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mailer.compose import contrast
from mailer.compose.document import FONTS, THEME, address, checked_colour, checked_links, checked_picture
from mailer.compose.findings import ContentError

COLOURS = ("background", "content", "text", "heading", "link", "button", "buttonText")
WORDS_MAX = 500
PAIRS = (("content", "text"), ("content", "heading"), ("content", "link"), ("button", "buttonText"))
"""(behind, before) that must be told apart"""
LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3"""


@dataclass(frozen=True, slots=True)
class Brand:
    """Colours as #rrggbb; the logo is a picture of the library or an https address."""

    background: str = THEME["background"]
    content: str = THEME["content"]
    text: str = THEME["text"]
    heading: str = THEME["heading"]
    link: str = THEME["link"]
    button: str = THEME["button"]
    buttonText: str = THEME["buttonText"]  # as the document calls it
    font: str = THEME["font"]
    radius: int = THEME["radius"]
    logo: str = ""
    logo_alt: str = ""
    logo_href: str = ""
    social: list[dict[str, str]] = field(default_factory=list)
    footer_en: str = ""
    footer_ja: str = ""

    @property
    def theme(self) -> dict[str, Any]:
        """What of a mail's theme it decides."""
        return {name: getattr(self, name) for name in (*COLOURS, "font", "radius")}

    def as_document(self) -> dict[str, Any]:
        return asdict(self)

    def footer(self, language: str) -> str:
        """In the member's language; where only the other is written, that."""
        return (self.footer_ja or self.footer_en) if language == "ja" else (self.footer_en or self.footer_ja)


def read(stored: Mapping[str, Any] | None) -> Brand | None:
    """The kept brand; None: nobody has made one."""
    if not stored:
        return None
    known = {each.name for each in fields(Brand)}
    return Brand(**{name: value for name, value in stored.items() if name in known})


def checked(given: Mapping[str, Any]) -> Brand:
    """A brand as it may be kept. Raises ContentError with the field as `where`."""
    made: dict[str, Any] = {}
    for name in COLOURS:
        made[name] = _checked(name, checked_colour, given.get(name)) or THEME[name]
    made["font"] = given.get("font") if given.get("font") in FONTS else THEME["font"]
    radius = given.get("radius", THEME["radius"])
    made["radius"] = radius if isinstance(radius, int) and 0 <= radius <= 30 else THEME["radius"]
    made["logo"] = _checked("logo", checked_picture, given.get("logo") or "")
    made["logo_href"] = _checked("logo_href", address, given.get("logo_href") or "")
    made["logo_alt"] = str(given.get("logo_alt") or "")[:200]
    made["social"] = _checked("social", checked_links, given.get("social") or [])
    for name in ("footer_en", "footer_ja"):
        made[name] = str(given.get(name) or "").replace("\r\n", "\n")[:WORDS_MAX]
    return Brand(**made)


def _checked(name: str, check: Any, value: Any) -> Any:
    try:
        return check(value)
    except (ValueError, TypeError) as error:
        raise ContentError("brand", str(error), name) from error


def hard_to_read(brand: Brand) -> list[tuple[str, str, float]]:
    """(behind, before, ratio) of the pairs whose contrast is too little."""
    ratios = [(behind, before, contrast.ratio(getattr(brand, behind), getattr(brand, before))) for behind, before in PAIRS]
    return [(behind, before, ratio) for behind, before, ratio in ratios if ratio < LEAST_CONTRAST]


@dataclass(frozen=True, slots=True)
class Shared:
    """What a mail of blocks may refer to: the brand, saved sections by id, and the name where there is no logo."""

    brand: Brand | None = None
    sections: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    organisation: str = ""


NOTHING = Shared()
