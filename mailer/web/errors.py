"""403, 404, 413, 500 and the like in our own words and style; a page that needs a sign-in shows the sign-in."""

import json
import logging

from flask import Flask, redirect, render_template, request
from markupsafe import Markup
from werkzeug.exceptions import HTTPException

from kairan.i18n import gettext as _
from mailer.accounts.authorize import Forbidden
from mailer.web import edge, gatekeeper

log = logging.getLogger(__name__)
KEPT_MAX_BYTES = 1_000_000


def install(app: Flask) -> None:
    app.register_error_handler(HTTPException, answer)
    app.register_error_handler(Forbidden, lambda _error: page(403))
    app.register_error_handler(Exception, fault)


def answer(error: HTTPException) -> edge.Answer | HTTPException:
    code = error.code or 500
    if code < 400:
        return error
    if gatekeeper.first_part() in gatekeeper.MEMBERS and code < 500:
        return render_template("public/not_found.html"), code
    if code == 401:
        return sign_in_first()
    return page(code)


def fault(error: Exception) -> tuple[str, int]:
    log.exception("page failed", extra={"endpoint": request.endpoint})
    try:
        return (render_template("public/fault.html"), 500) if gatekeeper.first_part() in gatekeeper.MEMBERS else page(500)
    except Exception:  # the page itself needs the database, and that is what is away
        return _("Something went wrong here") + "\n", 500


def page(code: int) -> tuple[str, int]:
    title, message = {
        403: (_("This is not open to you"), _("Your role does not cover this. An administrator can change that.")),
        404: (_("There is nothing here"), _("The address may be mistyped, or what it showed is gone.")),
        405: (_("There is nothing here"), _("The address may be mistyped, or what it showed is gone.")),
        409: (_("Somebody else changed this"), _("Load the page again to see what it is now.")),
        413: (_("That is too large"), _("The file or text is larger than this page takes.")),
    }.get(code, (_("Something went wrong here"), _("It was written into the log. Trying again may help.")))
    if edge.is_fragment() or edge.wants_json():
        return str(Markup("<p>{}</p>").format(title)), code
    return render_template("admin/error.html", title=title, message=message, mark="circle-alert" if code >= 500 else "circle-help"), code


def sign_in_first() -> edge.Answer:
    """GET goes to /login and comes back; what was posted is kept on the sign-in page and can be saved afterwards."""
    if edge.is_fragment() or edge.wants_json():
        return page(401)
    if request.method in gatekeeper.SAFE:
        return redirect("/login?next=" + _here() if request.path != "/" else "/login")
    return render_template("admin/login.html", form=None, next=request.path, kept=kept(), problem=None), 401


def _here() -> str:
    from urllib.parse import quote

    return quote(request.full_path.rstrip("?"), safe="/")


def kept() -> str:
    """The posted fields as one hidden field; they never leave the browser's page until it posts them again."""
    fields = [[name, value] for name, value in request.form.items(multi=True) if name not in ("csrf_token", "password")]
    text = json.dumps({"target": request.path, "fields": fields})
    return text if len(text) < KEPT_MAX_BYTES else ""
