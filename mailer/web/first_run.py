"""`/setup/TOKEN`: the first run makes the administrator and says who sends."""

from flask import Blueprint, abort, flash, render_template, request

from kairan import i18n, installation
from kairan.i18n import gettext as _
from kairan.models.accounts import Account
from mailer.accounts import passwords, people
from mailer.web import edge
from mailer.web.forms import Form
from mailer.web.signin import weakness, welcome

blueprint = Blueprint("first_run", __name__)


@blueprint.route("/setup/<token>", methods=["GET", "POST"])
@edge.anyone
def setup(token: str) -> edge.Answer:
    with edge.reading() as session:
        if not people.is_setup_link(session, token):
            abort(404)
    form = Form(request.form)
    if request.method == "POST":
        account = _set_up(form, token)
        if account:
            flash(_("Welcome. The list on this page shows what is left to do."), "ok")
            return welcome(account)
    return render_template("admin/setup.html", form=form), 422 if form.errors else 200


def _set_up(form: Form, token: str) -> Account | None:
    email = form.email("email", _("E-mail address"))
    language = form.choice("language", _("Language"), i18n.LANGUAGES)
    organisation = {
        "name": form.text("organisation", _("Name of the organisation")),
        "address": form.text("address", _("Postal address"), max_length=500, one_line=False),
        "contact": form.text("contact", _("Contact")),
    }
    sender = {
        "name": form.text("from_name", _("Sender name"), required=False),
        "email": form.email("from_email", _("Sender address"), required=False),
    }
    try:
        passwords.check(form.values.get("password", ""), email)
    except passwords.WeakPassword as weak:
        form.wrong("password", weakness(weak))
    if not form.is_right:
        return None
    with edge.writing() as session:
        account = people.first_administrator(session, token, email, form.values["password"], language, edge.now())
        if account is None:
            abort(404)
        installation.put(session, "organisation", organisation, now=edge.now())
        installation.put(session, "sender", sender, now=edge.now())
        installation.put(session, "language", language, now=edge.now())
        edge.audit(session, "setup", account.id)
    return account
