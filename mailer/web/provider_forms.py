"""The forms of a provider and of slower rates: what was typed, read into what the domain takes."""

import re
from collections.abc import Mapping

from kairan.i18n import gettext as _
from kairan.models.deliveries import DomainRate, Provider
from mailer.delivery import domains, providers
from mailer.delivery.provider_changes import Wanted, keeps_password
from mailer.web.forms import Form

SECURITY = ("starttls", "tls", "none")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[?[0-9A-Fa-f:]{2,39}\]?")
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


def of_provider(provider: Provider | None) -> Form:
    """A new one begins with the careful choices: TLS required, login."""
    if provider is None:
        start: dict[str, object] = {
            "port": 587, "security": "starttls", "position": 10, "weight": 1, "connections": 20, "enabled": "yes",
            "warm_start": 200, "warm_factor": 1.5, "warm_target": 50_000,
        }  # fmt: skip
        return Form(None, **start)
    held = {name: getattr(provider, name) for name in Wanted.__slots__ if name not in ("password", "enabled")}
    ready = {"warm_start": 200, "warm_factor": 1.5, "warm_target": 50_000}
    held.update({name: held[name] if held[name] is not None else value for name, value in ready.items()})
    shown = {name: _shown(value) for name, value in held.items()}
    return Form(None, **shown, enabled="yes" if provider.enabled else "", warm="yes" if provider.warm_start is not None else "")


def read_provider(form: Form, provider: Provider | None) -> Wanted:
    """Errors stand in the form."""
    login = form.text("login", _("User name"), required=False, max_length=255) or None
    warms = form.yes("warm")
    wanted = Wanted(
        name=form.text("name", _("Name"), max_length=100),
        host=form.text("host", _("Host"), max_length=255).strip("[]"),
        port=int(number(form, "port", _("Port"), 1, 65_535) or 0),
        security=form.choice("security", _("Encryption"), SECURITY),
        login=login,
        password=form.values.get("password") or None,
        enabled=form.yes("enabled"),
        position=int(number(form, "position", _("Order"), 1, 99) or 0),
        weight=int(number(form, "weight", _("Weight"), 1, 1_000) or 0),
        connections=int(number(form, "connections", _("Connections"), 1, 200) or 0),
        rate=number(form, "rate", _("Mails a second"), 0.01, 100_000, required=False, whole=False),
        daily_ceiling=_whole(number(form, "daily_ceiling", _("Mails a day"), 1, 100_000_000, required=False)),
        warm_start=_whole(number(form, "warm_start", _("On the first day"), 1, 10_000_000)) if warms else None,
        warm_factor=number(form, "warm_factor", _("Times, each day"), 1.01, 10, whole=False) if warms else None,
        warm_target=_whole(number(form, "warm_target", _("Until"), 1, 100_000_000)) if warms else None,
    )
    _check(form, wanted, provider)
    form.values.pop("password", None)
    return wanted


def _check(form: Form, wanted: Wanted, provider: Provider | None) -> None:
    if wanted.host and not _HOST.fullmatch(wanted.host):
        form.wrong("host", _("Write a host name such as mail.example.org, without smtp:// and without the port."))
    if wanted.login and form.is_right and not providers.may_login(wanted.host, wanted.security):
        form.wrong("security", _("The password would cross the network in clear. Choose STARTTLS or TLS."))
    if wanted.password and not wanted.login:
        form.wrong("login", _("Enter the user name that belongs to the password."))
    if wanted.password and ("\n" in wanted.password or len(wanted.password) > 500):
        form.wrong("password", _("A password has at most 500 characters, in one line."))
    if wanted.login and not wanted.password:
        if provider is None or provider.password is None:
            form.wrong("password", _("Enter the password."))
        elif not keeps_password(provider, wanted):
            form.wrong("password", _("Enter the password again: it was stored for another server, encryption or user name."))


def number(form: Form, name: str, label: str, low: float, high: float, *, required: bool = True, whole: bool = True) -> float | None:
    """A number as people write it (1,000 or 1000); None: left empty."""
    text = form.raw(name).replace(",", "").replace("，", "")
    if not text:
        if required:
            form.wrong(name, _("Enter: %(label)s", label=label))
        return None
    try:
        value = float(int(text) if whole else float(text))
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        form.wrong(name, _("%(label)s: a number from %(low)s to %(high)s", label=label, low=_shown(low), high=_shown(high)))
    return value


# ---- slower rates ----


def of_rates(rows: list[DomainRate]) -> Form:
    start: dict[str, object] = {f"rate_{name}": _shown(group.rate) for name, group in domains.READY.items()}
    own = [row for row in rows if row.domains is not None]
    for row in rows:
        if row.domains is None:
            start |= {f"on_{row.name}": "yes", f"rate_{row.name}": _shown(row.rate)}
    for at, row in enumerate(own):
        start |= {f"own_name_{at}": row.name, f"own_domains_{at}": " ".join(row.domains or ()), f"own_rate_{at}": _shown(row.rate)}
    return Form(None, **start)


def read_rates(form: Form) -> tuple[Mapping[str, float], list[tuple[str, tuple[str, ...], float]]]:
    """The groups of the ready table that are on, and the operator's own."""
    ready = {
        name: number(form, f"rate_{name}", group.label, 0.01, 10_000, whole=False) or 0.0
        for name, group in domains.READY.items()
        if form.yes(f"on_{name}")
    }
    own = [each for at in range(own_rows(form)) if (each := _own(form, at)) is not None]
    names = [name for name, _domains, _rate in own]
    for at in range(own_rows(form)):
        if names.count(form.raw(f"own_name_{at}")) > 1 or form.raw(f"own_name_{at}") in (*domains.READY, "-"):
            form.wrong(f"own_name_{at}", _("Give each group a name of its own."))
    return ready, own


def own_rows(form: Form) -> int:
    """Those that are filled in and an empty one, at most 50."""
    filled = [at for at in range(50) if form.raw(f"own_name_{at}") or form.raw(f"own_domains_{at}")]
    return min(max(filled, default=-1) + 2, 50)


def _own(form: Form, at: int) -> tuple[str, tuple[str, ...], float] | None:
    if not form.raw(f"own_name_{at}") and not form.raw(f"own_domains_{at}"):
        return None
    name = form.text(f"own_name_{at}", _("Name"), max_length=40)
    written = re.split(r"[\s,;、]+", form.raw(f"own_domains_{at}").lower())
    found = tuple(dict.fromkeys(part.removeprefix("@") for part in written if part))
    wrong = [part for part in found if not _DOMAIN.fullmatch(part)]
    if wrong or not found:
        form.wrong(f"own_domains_{at}", _("Write domains such as example.org, with spaces between them."))
    return name, found, number(form, f"own_rate_{at}", _("Mails a second"), 0.01, 10_000, whole=False) or 0.0


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _shown(value: object) -> str:
    return "" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)
