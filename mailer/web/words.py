"""How pages say numbers, times and states: Jinja filters, and the tables of labels (glossary: SCREENS.md)."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from babel.dates import format_timedelta
from flask import Flask

from kairan import addresses, i18n
from kairan.i18n import lazy_gettext as _
from kairan.models.audience import Member
from kairan.models.campaigns import CampaignStatus
from kairan.models.deliveries import State
from mailer.web import edge
from unsubscribe import allowed, leaving

CAMPAIGN_STATUS = {
    "draft": _("Draft"),
    "scheduled": _("Scheduled"),
    "sending": _("Sending"),
    "paused": _("Paused"),
    "sent": _("Sent"),
    "cancelled": _("Cancelled"),
}
DELIVERY_STATE = {
    "queued": _("Queued"),
    "sending": _("Being sent"),
    "accepted": _("Accepted"),
    "rejected": _("Rejected"),
    "deferred": _("Deferred"),
    "uncertain": _("Uncertain"),
    "suppressed": _("Suppressed"),
    "cancelled": _("Cancelled"),
    "failed": _("Failed"),
    "expired": _("Expired"),
}
JOB_STATE = {"queued": _("Waiting"), "running": _("Running"), "done": _("Done"), "failed": _("Failed"), "stopped": _("Cancelled")}
JOB_KIND = {
    "import": _("Import of members"),
    "suppressions": _("Import of suppressions"),
    "export": _("Export"),
    "rebuild": _("Rebuild of reports"),
}
ROLE = {"admin": _("Administrator"), "marketer": _("Marketer"), "analyst": _("Analyst"), "privacy_officer": _("Privacy officer")}
FORMAT = {"html": _("HTML"), "text": _("Plain text")}
RECORDING = {"identified": _("Recorded for the member"), "aggregate": _("Counted without the member"), "none": _("Not recorded")}
SUPPRESSION = {
    "unsubscribed": _("Unsubscribed"),
    "complaint": _("Reported as spam"),
    "bounced": _("Address does not exist"),
    "erased": _("Erased on request"),
    "staff": _("Entered by staff"),
    "domain": _("The domain is suppressed"),
}
CONSENT_ACT = {
    "opt_in": _("Agreed"),
    "opt_out": _("Left a list"),
    "leave_all": _("Ended all mail"),
    "return": _("Came back"),
    "choose": _("Changed the choices"),
    "address": _("Moved to another address"),
    "suppress": _("Put on the suppression list"),
    "release": _("Taken off the suppression list"),
    "suspend": _("Suspension of use"),
    "resume": _("End of the suspension"),
    "guardian": _("Guardian confirmed"),
    "erase": _("Erased"),
}
CONSENT_SOURCE = {
    "import": _("Import"),
    "api": _("API"),
    "form": _("Sign-up form"),
    "one_click": _("One-click unsubscribe"),
    "page": _("Page for members"),
    "mailto": _("Mail"),
    "staff": _("Staff"),
    "bounce": _("Bounce"),
    "complaint": _("Complaint"),
}
RESULT = {"imported": _("Added"), "merged": _("Known already, filled in")}
LINK_KIND = {"image": _("Image"), "text": _("Text")}


def _label(table: Mapping[str, object]) -> Callable[[object], str]:
    return lambda key: str(table.get(str(key), key))


def install(app: Flask) -> None:
    app.jinja_env.filters.update(
        number=lambda value: i18n.number(value or 0),
        percent=lambda share, digits=1: "–" if share is None else i18n.percent(share, digits),
        moment=lambda value: i18n.moment(value, edge.zone()),
        date=lambda value: i18n.date(value, edge.zone()),
        day_in=i18n.date,
        exact=exact,
        ago=lambda value: i18n.ago(value, edge.now()),
        iso=lambda value: value.isoformat(timespec="seconds"),
        state_name=lambda state: State(state).name.lower(),
        language_name=i18n.language_name,
        campaign_status=_label(CAMPAIGN_STATUS),
        delivery_state=_label(DELIVERY_STATE),
        job_state=_label(JOB_STATE),
        job_kind=_label(JOB_KIND),
        role=_label(ROLE),
        format_name=_label(FORMAT),
        recording=_label(RECORDING),
        suppression=_label(SUPPRESSION),
        consent_act=_label(CONSENT_ACT),
        consent_source=_label(CONSENT_SOURCE),
        left_out=_label(allowed.REASONS),
        leave_reason=_label(leaving.REASONS),
        link_kind=_label(LINK_KIND),
        size=size,
        address=address,
        full_name=full_name,
        result_name=_label(RESULT),
        duration=duration,
        points=points,
    )
    app.jinja_env.globals.update(STATUSES=[status.value for status in CampaignStatus])


def exact(value: datetime) -> str:
    """With its zone, for the tooltip of a relative time."""
    return f"{i18n.exact(value, edge.zone())} {value.astimezone(edge.zone()).tzname()}"


def address(email: str) -> str:
    """Masked for whoever may not see addresses."""
    return email if edge.can("member.address") else addresses.masked(email)


def full_name(member: Member) -> str:
    """In the order of the member's own language."""
    names = (member.last_name, member.first_name) if member.locale.startswith("ja") else (member.first_name, member.last_name)
    return " ".join(name for name in names if name)


def size(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1024:
            return f"{i18n.number(round(count, 1))} {unit}"
        count /= 1024
    return f"{i18n.number(round(count, 1))} GB"


def duration(seconds: float) -> str:
    """About how long: minutes under an hour, else hours and minutes."""
    return str(format_timedelta(timedelta(seconds=seconds), granularity="minute" if seconds > 90 else "second", locale=i18n.language()))


def points(difference: float) -> str:
    """A difference of two shares, in percentage points."""
    return f"{'▲' if difference >= 0 else '▼'} {i18n.number(round(abs(difference) * 100, 1))}"
