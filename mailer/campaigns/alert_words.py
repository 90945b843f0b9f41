"""What an alert says, in the language that is spoken: a title, what happened and what to do, and the page where it is done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kairan.i18n import gettext as _
from kairan.i18n import ngettext, number
from mailer.campaigns.lifecycle import PAUSE_REASONS


@dataclass(frozen=True, slots=True)
class Words:
    title: str
    text: str
    path: str
    """of the page, below the base URL"""


def words(kind: str, facts: Mapping[str, Any], *, over: bool = False) -> Words:
    """`facts` as they were when the cause began."""
    return (_AFTER if over else _WORDS)[kind](facts)


def as_mail(words: Words, base_url: str) -> str:
    end = _("You get this mail because you work with Kairan. Choose what it tells you: %(link)s", link=f"{base_url}/settings/alerts")
    return f"{words.text}\n\n{base_url}{words.path}\n\n-- \n{end}\n"


def _progress(facts: Mapping[str, Any]) -> str:
    return f"/campaigns/{facts['campaign']}/progress"


def _paused(facts: Mapping[str, Any]) -> Words:
    reason = str(PAUSE_REASONS.get(facts["reason"], facts["reason"]))
    said = "\n\n" + facts["detail"] if facts.get("detail") else ""
    ends = _("What is waiting stays waiting until somebody resumes or cancels the campaign.")
    return Words(_("“%(name)s” has stopped", name=facts["name"]), f"{reason}{said}\n\n{ends}", _progress(facts))


def _missed(facts: Mapping[str, Any]) -> Words:
    reason = str(PAUSE_REASONS.get(facts["reason"], facts["reason"]))
    return Words(_("The start of “%(name)s” was missed", name=facts["name"]), reason, _progress(facts))


def _ended(facts: Mapping[str, Any]) -> Words:
    text = _(
        "%(accepted)s of %(all)s deliveries were accepted, %(rejected)s rejected.",
        accepted=number(facts["accepted"]),
        all=number(facts["all"]),
        rejected=number(facts["rejected"]),
    )
    return Words(_("“%(name)s” has ended", name=facts["name"]), text, f"/campaigns/{facts['campaign']}")


def _uncertain(facts: Mapping[str, Any]) -> Words:
    text = ngettext(
        "The outcome of one delivery is uncertain. It has probably arrived; Kairan never sends it again by itself.",
        "The outcome of %(count)s deliveries is uncertain. They have probably arrived; Kairan never sends them again by itself.",
        facts["count"],
    )
    return Words(_("“%(name)s” has uncertain deliveries", name=facts["name"]), text, f"/campaigns/{facts['campaign']}/uncertain")


def _provider(facts: Mapping[str, Any]) -> Words:
    text = _(
        "Nothing goes through it for now. Others take over where there are any, and it is tried again by itself. The last trouble was:"
    )
    title = _("The mail server %(name)s fails", name=facts["name"])
    return Words(title, f"{text}\n\n{facts['error']}", f"/settings/providers/{facts['provider']}")


def _provider_well(facts: Mapping[str, Any]) -> Words:
    title = _("The mail server %(name)s is well again", name=facts["name"])
    return Words(title, _("Mail goes through it again."), f"/settings/providers/{facts['provider']}")


def _disk(facts: Mapping[str, Any]) -> Words:
    text = _(
        "%(free)s MiB are left on the disk of Kairan's data on %(host)s. Below 64 MiB campaigns stop by themselves. Make room.",
        free=number(facts["free_mib"]),
        host=facts["host"],
    )
    return Words(_("The disk of %(host)s is nearly full", host=facts["host"]), text, "/settings/about")


def _disk_well(facts: Mapping[str, Any]) -> Words:
    return Words(_("The disk of %(host)s has room again", host=facts["host"]), _("Nothing needs to be done."), "/settings/about")


def _redis(facts: Mapping[str, Any]) -> Words:
    text = _(
        "%(host)s has not reached Redis (Valkey) for more than a minute. Campaigns stand still meanwhile; nothing is lost. Start it again.",
        host=facts["host"],
    )
    return Words(_("Redis does not answer"), text, "/settings/about")


def _redis_well(_facts: Mapping[str, Any]) -> Words:
    return Words(_("Redis answers again"), _("Campaigns go on by themselves."), "/settings/about")


def _webhook_off(facts: Mapping[str, Any]) -> Words:
    why = _("It said that it wants no more (410).") if facts["gone"] else _("It has taken nothing for three days.")
    then = _("What happens until it is switched on again is told to it by nobody.")
    return Words(
        _("The webhook to %(host)s was switched off", host=facts["host"]), f"{why} {then}", f"/settings/webhooks/{facts['webhook']}"
    )


_WORDS = {
    "campaign.paused": _paused,
    "campaign.ended": _ended,
    "campaign.uncertain": _uncertain,
    "schedule.missed": _missed,
    "provider.failed": _provider,
    "disk.full": _disk,
    "redis.away": _redis,
    "webhook.off": _webhook_off,
    "test": lambda _facts: Words(_("This is a test"), _("The webhook of Kairan's alerts works."), "/settings/alerts"),
}
_AFTER = {"provider.failed": _provider_well, "disk.full": _disk_well, "redis.away": _redis_well, "webhook.off": _webhook_off}
