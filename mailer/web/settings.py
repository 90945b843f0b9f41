"""Settings: the organisation and its sender, and what this installation is made of."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from zoneinfo import available_timezones

from flask import Blueprint, render_template, request
from sqlalchemy import select

from kairan import i18n, installation
from kairan.addresses import AddressError
from kairan.i18n import gettext as _
from kairan.models.accounts import Account
from kairan.models.deliveries import Provider
from mailer.campaigns import seeds
from mailer.delivery.providers import mirror_environment
from mailer.web import edge
from mailer.web.forms import Form

blueprint = Blueprint("settings", __name__)


@blueprint.get("/settings")
@edge.allowed("settings.view")
def organisation() -> str:
    with edge.reading() as session:
        held = installation.everything(session)
        copies = seeds.listed(session)
    form = Form(
        None,
        name=held["organisation"]["name"],
        address=held["organisation"]["address"],
        contact=held["organisation"]["contact"],
        from_name=held["sender"]["name"],
        from_email=held["sender"]["email"],
        language=held["language"],
        time_zone=held["time_zone"],
        approval_above=held["approval_above"],
        seeds="\n".join(copies),
        archive_noindex="yes" if held["archive_noindex"] else "",
    )
    return _organisation(form)


def _organisation(form: Form) -> str:
    return render_template("admin/settings.html", form=form, zones=sorted(available_timezones()))


@blueprint.post("/settings")
@edge.allowed("settings.edit")
def save_organisation() -> edge.Answer:
    form = Form(request.form)
    values: dict[str, Any] = {
        "organisation": {
            "name": form.text("name", _("Name")),
            "address": form.text("address", _("Postal address"), max_length=500, one_line=False),
            "contact": form.text("contact", _("Contact")),
        },
        "sender": {
            "name": form.text("from_name", _("Sender name"), required=False),
            "email": form.email("from_email", _("Sender address"), required=False),
        },
        "language": form.choice("language", _("Language"), i18n.LANGUAGES),
        "time_zone": form.choice("time_zone", _("Time zone"), available_timezones()),
        "archive_noindex": form.yes("archive_noindex"),
    }
    above = form.raw("approval_above")
    if above and not (above.isdigit() and above.isascii() and len(above) < 10):
        form.wrong("approval_above", _("Enter a whole number, or nothing."))
    if not form.is_right:
        return _organisation(form), 422
    values["approval_above"] = int(above) if above else None
    with edge.writing() as session:
        for name, value in values.items():
            installation.put(session, name, value, now=edge.now())
        try:
            seeds.put(session, form.raw("seeds").splitlines(), now=edge.now())
        except seeds.TooMany:
            form.wrong("seeds", _("At most %(count)s seed addresses.", count=seeds.SEEDS_MAX))
        except AddressError as error:
            form.wrong("seeds", _("This is not a mail address: %(reason)s", reason=error))
        if not form.is_right:
            session.rollback()
            return _organisation(form), 422
        edge.audit(session, "settings.change", names=sorted(values))
    return edge.back_to("/settings", _("Saved. It holds for every mail that is made from now on."))


@blueprint.get("/settings/about")
@edge.allowed("settings.view")
def about() -> str:
    runtime = edge.runtime()
    with edge.writing() as session:
        mirror_environment(session, runtime.settings.smtp, edge.now())
        providers = list(session.scalars(select(Provider).order_by(Provider.position, Provider.id)))
        accounts = list(session.scalars(select(Account).order_by(Account.id))) if edge.can("account.edit") else []
    return render_template(
        "admin/about.html",
        settings=runtime.settings.masked() if edge.can("settings.edit") else {},
        providers=providers,
        accounts=accounts,
        version=_version(),
        python=platform.python_version(),
        database="SQLite" if runtime.database.is_sqlite else "PostgreSQL",
    )


def _version() -> str:
    try:
        return version("kairan")
    except PackageNotFoundError:
        return "–"
