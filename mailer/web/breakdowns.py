"""How a campaign's readers divide: mail clients, devices, domains, countries; and by which rule its machines were told."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from kairan import i18n
from kairan.i18n import gettext, lazy_gettext
from kairan.models.events import Aspect
from mailer.reports import facets, tallies
from mailer.reports.chunk_counts import Domain
from mailer.reports.facets import FacetFigures, Ranking

_ = lazy_gettext
AUDIENCE_MAX = 100_000
CHUNKS_A_PAGE = 4
"""of 2,000 deliveries, whose recipient domains a look at the page counts (10 ms each)"""
DEVICE = {"phone": _("Phone"), "tablet": _("Tablet"), "computer": _("Computer")}
RULES = {
    "prefetch": _("The request said that nobody had asked for it yet"),
    "no_agent": _("It did not say what it was"),
    "apple_relay": _("Apple’s privacy relay"),
    "scanner": _("Security scanner, by its name"),
    "discovery": _("Office asking what lies behind a link"),
    "preview": _("Preview of a link in a chat"),
    "headless": _("Browser that nobody looks at"),
    "program": _("Program, by its name"),
    "crawler": _("Crawler, by its name"),
    "head": _("Asked without fetching (HEAD)"),
    "early": _("Within two seconds after the mail was accepted"),
    "burst": _("Several links of one mail within two seconds"),
    "network": _("From a mail gateway’s network"),
}


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    figures: FacetFigures
    share: float | None
    """of the unique opens"""
    accepted: int | None = None
    """by domain, where all of the campaign's deliveries were counted"""


@dataclass(frozen=True, slots=True)
class Breakdown:
    key: str
    title: str
    column: str
    about: str
    rows: list[Row]
    has_accepted: bool = False


def all_of(session: Session, campaign_id: int, audience: int) -> list[Breakdown]:
    """Those that have something to tell; countries only where fetches have one."""
    accepted = _accepted_by_domain(session, campaign_id, audience)
    rankings = facets.rankings(session, campaign_id)
    found = []
    for aspect in (Aspect.CLIENT, Aspect.DEVICE, Aspect.DOMAIN, Aspect.COUNTRY):
        ranking = rankings[aspect]
        if not ranking.rows or (aspect == Aspect.COUNTRY and not any(row.value for row in ranking.rows)):
            continue
        found.append(_breakdown(aspect, ranking, accepted if aspect == Aspect.DOMAIN else None))
    return found


def _breakdown(aspect: Aspect, ranking: Ranking, accepted: dict[str, Domain] | None) -> Breakdown:
    whole = ranking.total.openers
    rows = [
        Row(_label(aspect, row.value), row, row.openers / whole if whole else None, _accepted(accepted, row.value)) for row in ranking.rows
    ]
    if ranking.rest:
        rows.append(Row(gettext("All others"), ranking.rest, ranking.rest.openers / whole if whole else None))
    key = aspect.name.lower()
    return Breakdown(key, *_words(aspect), rows, accepted is not None)


def _accepted(accepted: dict[str, Domain] | None, value: str) -> int | None:
    return accepted[value].accepted if accepted and value in accepted else None


def _accepted_by_domain(session: Session, campaign_id: int, audience: int) -> dict[str, Domain] | None:
    """None until every chunk was counted: a part beside a whole would mislead. Of very large campaigns nobody counts them for this page."""
    if audience > AUDIENCE_MAX:
        return None
    tallies.count_domains(session, campaign_id, CHUNKS_A_PAGE)
    tally = tallies.tally(session, campaign_id)
    return dict(tally.domains(1_000)) if tally.domains_made_of() == sum(tally.states.values()) else None


def _label(aspect: Aspect, value: str) -> str:
    if not value:
        return gettext("Not recorded by name") if aspect == Aspect.DOMAIN else gettext("Not known")
    if aspect == Aspect.DEVICE:
        return str(DEVICE.get(value, value))
    return i18n.country(value) if aspect == Aspect.COUNTRY else value


def _words(aspect: Aspect) -> tuple[str, str, str]:
    """Title, name of the column, and what is known of it."""
    return {
        Aspect.CLIENT: (
            gettext("Read with"),
            gettext("Mail program"),
            gettext(
                "By what a fetch says of itself. A browser may show a web mailer or the mail’s own page; Gmail and Yahoo are their proxies."
            ),
        ),
        Aspect.DEVICE: (
            gettext("Read on"),
            gettext("Device"),
            gettext("Gmail’s and Yahoo’s proxies do not tell it, and an iPad may call itself a Macintosh."),
        ),
        Aspect.DOMAIN: (
            gettext("Recipient domains"),
            gettext("Domain"),
            gettext("Of the members’ addresses. Who is recorded without a name is in no domain."),
        ),
        Aspect.COUNTRY: (
            gettext("Countries"),
            gettext("Country"),
            gettext("By the network the fetch came from, with the file you gave. A provider’s proxy stands where the provider is."),
        ),
    }[aspect]


def machines(session: Session, campaign_id: int) -> list[tuple[str, str, int]]:
    """(rule with its version, what it says, how many fetches)"""
    return [(row.value, rule_words(row.value), row.machines) for row in facets.by_rule(session, campaign_id)]


def rule_words(rule: str) -> str:
    name = rule.partition("/")[0]
    return str(RULES.get(name, rule))


def title(aspect: Aspect) -> str:
    return _words(aspect)[0]


def label(value: str) -> str:
    """Of a client or device."""
    return str(DEVICE.get(value, value)) if value else gettext("Not known")


def zone_of(name: str) -> ZoneInfo:
    return ZoneInfo(name)
