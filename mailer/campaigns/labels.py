"""Labels of campaigns: up to ten free words each, by which people find campaigns again. Members do not see them."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign, CampaignLabel

LABELS_MAX = 10
LENGTH_MAX = 40
KNOWN_MAX = 200
_SEPARATOR = re.compile(r"[,、，\n]")


class NotLabels(ValueError):
    """What was given cannot be labels; the message says what to do."""


def split(written: str) -> list[str]:
    """The labels of one line, as typed: with commas between them, Japanese ones too. Raises NotLabels."""
    return checked(_SEPARATOR.split(written))


def checked(given: Iterable[str]) -> list[str]:
    """As they are kept: NFC, single spaces, each once whatever its capitals, empty ones left out. Raises NotLabels."""
    found: dict[str, str] = {}
    for text in given:
        label = " ".join(unicodedata.normalize("NFC", text).split())
        if label:
            found.setdefault(label.casefold(), _one(label))
    if len(found) > LABELS_MAX:
        raise NotLabels(_("Give at most %(count)s labels.", count=LABELS_MAX))
    return list(found.values())


def _one(label: str) -> str:
    if len(label) > LENGTH_MAX:
        raise NotLabels(_("A label has at most %(count)s characters: shorten “%(label)s…”.", count=LENGTH_MAX, label=label[:LENGTH_MAX]))
    if _SEPARATOR.search(label):
        raise NotLabels(_("A label has no comma in it: give “%(label)s” as two.", label=label))
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in label):
        raise NotLabels(_("A label has no control characters."))
    return label


def put(session: Session, campaign_id: int, labels: Sequence[str]) -> None:
    """Replaces the campaign's labels, whatever its status: they change nothing that is sent. Raises NotLabels."""
    wanted = checked(labels)
    session.execute(delete(CampaignLabel).where(CampaignLabel.campaign_id == campaign_id))
    session.add_all(CampaignLabel(campaign_id=campaign_id, label=label) for label in wanted)
    session.flush()


def of(session: Session, campaign_ids: Sequence[int]) -> dict[int, list[str]]:
    """Each campaign's labels by the alphabet; a campaign without any has an empty list."""
    found: dict[int, list[str]] = {number: [] for number in campaign_ids}
    query = select(CampaignLabel.campaign_id, CampaignLabel.label).where(CampaignLabel.campaign_id.in_(campaign_ids))
    for campaign_id, label in session.execute(query.order_by(CampaignLabel.label)):
        found[campaign_id].append(label)
    return found


def known(session: Session) -> list[str]:
    """All labels there are, to choose from, the most used first."""
    query = select(CampaignLabel.label).group_by(CampaignLabel.label).order_by(func.count().desc(), CampaignLabel.label).limit(KNOWN_MAX)
    return list(session.scalars(query))


def has(label: str) -> ColumnElement[bool]:
    """The condition that a campaign has this label."""
    return select(CampaignLabel.campaign_id).where(CampaignLabel.campaign_id == Campaign.id, CampaignLabel.label == label).exists()
