"""The choices in the words that members read: beside each button, and in the ledger as what they said yes or no to."""

from collections.abc import Mapping
from dataclasses import dataclass

from kairan.i18n import language_name
from kairan.i18n import lazy_gettext as _
from unsubscribe import choices


@dataclass(frozen=True, slots=True)
class Option:
    """One choice: what stands beside the button, and the sentence below it that says what it does."""

    value: str
    label: object
    """said in the reader's language when it is shown"""
    does: object


QUESTIONS = {
    "frequency": _("How often"),
    "format": _("Form of the mails"),
    "recording": _("What may be recorded"),
    "language": _("Language"),
}
_BREAK = _("No mail until then; afterwards it goes on as before.")
_LANGUAGE = _("For these pages, and for the words that we add to our mails.")
OPTIONS = {
    "frequency": (
        Option("each", _("Every mail"), _("Each mail about your topics, as it goes out.")),
        Option(
            "weekly",
            _("Once a week at most"),
            _("After one mail the next comes in seven days at the earliest; those between are left out."),
        ),
        Option(
            "monthly",
            _("Once a month at most"),
            _("After one mail the next comes in thirty days at the earliest; those between are left out."),
        ),
        Option("pause30", _("Take a break for 30 days"), _BREAK),
        Option("pause60", _("Take a break for 60 days"), _BREAK),
        Option("pause90", _("Take a break for 90 days"), _BREAK),
    ),
    "format": (
        Option("html", _("With pictures and layout (HTML)"), _("As we made it. What of it may be recorded you say below.")),
        Option("text", _("Plain text"), _("Without web beacons and without recorded links.")),
    ),
    "recording": (
        Option(
            "identified", _("Which mails I open and what I click"), _("Kept together with my membership, so that mails can suit me better.")
        ),
        Option("aggregate", _("Only counted, without me"), _("Opens and clicks go into totals that do not say whose they were.")),
        Option("none", _("Nothing"), _("No web beacon in the mails, and plain links.")),
    ),
    "language": tuple(Option(code, language_name(code), _LANGUAGE) for code in choices.LANGUAGES),
}
LEAVE_ALL = _("Ends every mail from us to this address at once.")
RETURN = _("I want to receive mail again.")


def said(given: Mapping[str, str | None], changed: Mapping[str, object]) -> str:
    """What a member has said by those of the `given` fields that `changed` something, in the language they read it in."""
    lines = []
    for name, value in given.items():
        is_changed = name in changed or (name == "frequency" and "paused_until" in changed)
        lines += [f"{QUESTIONS[name]}: {each.label}\n{each.does}" for each in OPTIONS[name] if each.value == value and is_changed]
    return "\n".join(lines)
