"""Settings: the mail servers that campaigns go through, their limits, and whether they work."""

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, abort, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import addresses, installation, vault
from kairan.i18n import gettext as _
from kairan.models.deliveries import Provider
from mailer.delivery import brakes, ceilings, domains, probe, provider_changes, providers
from mailer.web import edge, provider_forms
from mailer.web.forms import Form

blueprint = Blueprint("providers", __name__)
HERE = "/settings/providers"


@dataclass(frozen=True, slots=True)
class Standing:
    """A provider as the list shows it."""

    row: Provider
    is_environment: bool
    broken_until: datetime | None
    started: int
    ceiling: int | None
    warms: bool

    @property
    def is_full(self) -> bool:
        return self.ceiling is not None and self.started >= self.ceiling


def _standing(session: Session, row: Provider) -> Standing:
    day = ceilings.today(session, edge.now()).get(row.id)
    ceiling = ceilings.ceiling_of(session, row, day, edge.now())
    return Standing(
        row,
        row.name == providers.ENVIRONMENT,
        row.broken_until if providers.is_broken(row, edge.now()) else None,
        day.started if day else 0,
        ceiling,
        ceiling is not None and ceiling != row.daily_ceiling,
    )


def _mirrored() -> None:
    """KAIRAN_SMTP_URL may have been set since: its row is made by whoever looks first."""
    with edge.writing() as session:
        providers.mirror_environment(session, edge.runtime().settings.smtp, edge.now())


@blueprint.get(HERE)
@edge.allowed("settings.edit")
def show_list() -> str:
    _mirrored()
    with edge.reading() as session:
        rows = session.scalars(select(Provider).order_by(Provider.enabled.desc(), Provider.position, Provider.id))
        standing = [_standing(session, row) for row in rows]
        slower = domains.switched_on(session, None)
        why = providers.why_waiting(session, edge.now()) if any(each.row.enabled for each in standing) else None
    return render_template("admin/providers.html", standing=standing, slower=slower, why=why)


@blueprint.get(f"{HERE}/new")
@edge.allowed("settings.edit")
def new() -> str:
    return _form(provider_forms.of_provider(None), None)


@blueprint.post(f"{HERE}/new")
@edge.allowed("settings.edit")
def add() -> edge.Answer:
    form = Form(request.form)
    wanted = provider_forms.read_provider(form, None)
    with edge.writing() as session:
        if provider_changes.name_is_taken(session, wanted.name, None):
            form.wrong("name", _("There is a mail server of this name already."))
        if form.is_right:
            row = provider_changes.add(session, wanted, vault.of(edge.runtime().secrets), edge.now())
            edge.audit(session, "provider.add", row.id)
            return edge.back_to(f"{HERE}/{row.id}", _("Saved. Try it out before you send."))
    return _form(form, None), 422


@blueprint.get(f"{HERE}/<int:provider_id>")
@edge.allowed("settings.edit")
def show(provider_id: int) -> str:
    with edge.reading() as session:
        row = _find(session, provider_id)
        return _form(provider_forms.of_provider(row), _standing(session, row))


@blueprint.post(f"{HERE}/<int:provider_id>")
@edge.allowed("settings.edit")
def save(provider_id: int) -> edge.Answer:
    form = Form(request.form)
    with edge.writing() as session:
        row = _find_own(session, provider_id)
        wanted = provider_forms.read_provider(form, row)
        if provider_changes.name_is_taken(session, wanted.name, provider_id):
            form.wrong("name", _("There is a mail server of this name already."))
        if form.is_right:
            changed = [name for name in wanted.__slots__ if name != "password" and getattr(row, name) != getattr(wanted, name)]
            provider_changes.change(session, row, wanted, vault.of(edge.runtime().secrets), edge.now())
            edge.audit(session, "provider.change", row.id, names=changed, password=wanted.password is not None)
            return edge.back_to(f"{HERE}/{row.id}", _("Saved. It holds from the next minute on."))
        return _form(form, _standing(session, row)), 422


def _form(form: Form, standing: Standing | None) -> str:
    return render_template(
        "admin/provider.html",
        form=form,
        standing=standing,
        security=(
            ("starttls", _("STARTTLS, required (587)")),
            ("tls", _("TLS from the start (465)")),
            ("none", _("None (this machine only)")),
        ),
        has_password=standing is not None and standing.row.password is not None,
    )


@blueprint.post(f"{HERE}/<int:provider_id>/test")
@edge.allowed("settings.edit")
def test(provider_id: int) -> edge.Answer:
    """Connects, logs in and, with an address, sends one mail there; what came of it is said on the provider's page."""
    to, page = request.form.get("to", "").strip(), f"{HERE}/{provider_id}"
    try:
        if to:
            addresses.normal(to)
    except addresses.AddressError as error:
        return edge.back_to(page, _("This is not a mail address: %(reason)s", reason=error), "bad")
    with edge.reading() as session:
        row = _find(session, provider_id)
        sender = str(installation.get(session, "sender").get("email", ""))
    try:
        account = providers.account_of(row, edge.runtime().settings.smtp, vault.of(edge.runtime().secrets))
    except providers.NoAccount as problem:
        return edge.back_to(page, str(problem), "bad")
    found = probe.try_out(account, sender, to)  # no transaction is open while the server is waited for
    with edge.writing() as session:
        if found.good:
            brakes.provider_works(session, provider_id=provider_id)
        elif (tried := session.get(Provider, provider_id)) is not None:
            tried.last_error = found.says[:500]
        edge.audit(session, "provider.test", provider_id, good=found.good, mail=bool(to))
    return edge.back_to(page, found.says, "ok" if found.good else "bad")


@blueprint.get(f"{HERE}/<int:provider_id>/delete")
@edge.allowed("settings.edit")
def ask_delete(provider_id: int) -> str:
    with edge.reading() as session:
        row = _find_own(session, provider_id)
        return render_template("admin/provider_delete.html", provider=row, stays=provider_changes.is_referenced(session, provider_id))


@blueprint.post(f"{HERE}/<int:provider_id>/delete")
@edge.allowed("settings.edit")
def delete(provider_id: int) -> edge.Answer:
    with edge.writing() as session:
        gone = provider_changes.remove(session, _find_own(session, provider_id), edge.now())
        edge.audit(session, "provider.delete" if gone else "provider.switch_off", provider_id)
    return edge.back_to(HERE, _("Deleted.") if gone else _("Switched off. It stays in the list, since mail went through it."))


# ---- slower rates for recipient domains


@blueprint.get(f"{HERE}/domains")
@edge.allowed("settings.edit")
def show_rates() -> str:
    return _show_rates(None)


@blueprint.get(f"{HERE}/<int:provider_id>/domains")
@edge.allowed("settings.edit")
def show_own_rates(provider_id: int) -> str:
    return _show_rates(provider_id)


def _show_rates(provider_id: int | None) -> str:
    with edge.reading() as session:
        row = None if provider_id is None else _find(session, provider_id)
        return _rates(provider_forms.of_rates(domains.switched_on(session, provider_id)), row)


@blueprint.post(f"{HERE}/domains")
@edge.allowed("settings.edit")
def save_rates() -> edge.Answer:
    return _save_rates(None)


@blueprint.post(f"{HERE}/<int:provider_id>/domains")
@edge.allowed("settings.edit")
def save_own_rates(provider_id: int) -> edge.Answer:
    return _save_rates(provider_id)


def _save_rates(provider_id: int | None) -> edge.Answer:
    form = Form(request.form)
    ready, own = provider_forms.read_rates(form)
    with edge.writing() as session:
        row = None if provider_id is None else _find(session, provider_id)
        if not form.is_right:
            return _rates(form, row), 422
        domains.put(session, provider_id, ready, own, edge.now())
        edge.audit(session, "provider.domain_rates", provider_id, groups=len(ready) + len(own))
    page = HERE if provider_id is None else f"{HERE}/{provider_id}"
    return edge.back_to(page, _("Saved. It holds from the next minute on."))


def _rates(form: Form, row: Provider | None) -> str:
    return render_template(
        "admin/provider_domains.html", form=form, provider=row, ready=domains.READY, own=range(provider_forms.own_rows(form))
    )


def _find(session: Session, provider_id: int) -> Provider:
    return session.get(Provider, provider_id) or abort(404)


def _find_own(session: Session, provider_id: int) -> Provider:
    """Not the environment's, which is read-only."""
    row = _find(session, provider_id)
    if row.name == providers.ENVIRONMENT:
        abort(404)
    return row
