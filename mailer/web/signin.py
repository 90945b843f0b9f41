"""Signing in and out, setting a password, and the language and theme one reads in."""

import ipaddress
import json
from typing import Any

from flask import Blueprint, abort, current_app, redirect, render_template, request
from werkzeug.wrappers import Response

from kairan import i18n
from kairan.i18n import gettext as _
from kairan.models.accounts import Account
from mailer.accounts import passwords, people, sessions
from mailer.accounts.limiter import SignInLimiter
from mailer.web import edge, gatekeeper
from mailer.web.forms import Form

blueprint = Blueprint("signin", __name__)
THEMES = ("auto", "light", "dark")
YEAR_S = 31_536_000


@blueprint.get("/login")
@edge.anyone
def login() -> edge.Answer:
    if edge.person():
        return redirect("/")
    return render_template("admin/login.html", form=None, next=local(request.args.get("next")), kept="", problem=None)


@blueprint.post("/login")
@edge.anyone
def sign_in() -> edge.Answer:
    form = Form(request.form)
    email, network = form.raw("email"), _network()
    wait = limiter().wait_s(email, network)
    if wait:
        return _refused(form, _("Too many attempts. Try again in %(seconds)s seconds.", seconds=i18n.number(wait)), 429)
    account = _checked(email, request.form.get("password", ""))
    if account is None:
        limiter().failed(email, network)
        return _refused(form, _("E-mail address and password do not belong together."), 401)
    limiter().succeeded(email, network)
    return welcome(account, request.form.get("kept", ""), local(request.form.get("next")))


def _checked(email: str, password: str) -> Account | None:
    """The account, if the password is its own. Argon2 runs outside any transaction: it takes 50 ms."""
    with edge.reading() as session:
        account = people.by_email(session, email)
    fits = passwords.fits(password, account.password_hash if account else None)
    return account if account and fits and account.disabled_at is None else None


def _refused(form: Form, problem: str, code: int) -> tuple[str, int]:
    shown = render_template("admin/login.html", form=form, next=local(form.raw("next")), kept=request.form.get("kept", ""), problem=problem)
    return shown, code


def welcome(account: Account, kept: str = "", next_page: str = "/") -> edge.Answer:
    """Opens a session and goes on; fields kept from before are offered for saving."""
    with edge.writing() as session:
        stored = session.get_one(Account, account.id)
        cookie = sessions.sign_in(session, stored, edge.now())
        edge.audit(session, "account.sign_in", account.id)
    answer: Response = _offer_kept(cookie, kept) if kept else redirect(next_page or "/", 303)
    gatekeeper.set_cookie(answer, "kairan_session", cookie)
    gatekeeper.drop_cookie(answer, "kairan_visit")
    return answer


def _offer_kept(cookie: str, kept: str) -> Response:
    from flask import g, make_response

    try:
        held: dict[str, Any] = json.loads(kept)
        fields = [(str(name), str(value)) for name, value in held["fields"]]
        target = local(str(held["target"]))
    except (ValueError, KeyError, TypeError):
        return redirect("/", 303)
    with edge.reading() as session:
        g.person = sessions.resume(session, cookie, edge.now())
    return make_response(render_template("admin/kept.html", target=target, fields=fields))


@blueprint.post("/logout")
@edge.anyone
def sign_out() -> Response:
    cookie = gatekeeper.session_cookie()
    if cookie:
        with edge.writing() as session:
            sessions.sign_out(session, cookie)
    answer = edge.back_to("/login", _("You are signed out."))
    gatekeeper.drop_cookie(answer, "kairan_session")
    return answer


@blueprint.route("/password/<token>", methods=["GET", "POST"])
@edge.anyone
def password(token: str) -> edge.Answer:
    with edge.reading() as session:
        account = people.of_password_link(session, token, edge.now())
    if account is None:
        abort(404)
    form = Form(request.form)
    if request.method == "POST":
        try:
            passwords.check(form.values.get("password", ""), account.email)
        except passwords.WeakPassword as weak:
            form.wrong("password", weakness(weak))
        else:
            with edge.writing() as session:
                account = session.get_one(Account, account.id)
                people.set_password(session, account, form.values["password"])
                edge.audit(session, "account.password", account.id)
            return welcome(account)
    return render_template("admin/password.html", form=form, email=account.email), 422 if form.errors else 200


def weakness(weak: passwords.WeakPassword) -> str:
    return {
        "short": _("The password needs at least %(count)s characters.", count=passwords.LENGTH_MIN),
        "long": _("The password may have %(count)s characters at most.", count=passwords.LENGTH_MAX),
    }.get(str(weak), _("This password is easy to guess. Choose one that does not contain your address."))


@blueprint.post("/preferences")
@edge.anyone
def prefer() -> Response:
    """Language and theme: kept with the account, and in a cookie for the pages before sign-in."""
    language, theme = request.form.get("language"), request.form.get("theme")
    answer = redirect(local(request.form.get("next")), 303)
    found = edge.person()
    if found:
        with edge.writing() as session:
            account = session.get_one(Account, found.id)
            account.language = language if language in i18n.LANGUAGES else account.language
            account.theme = theme if theme in THEMES else account.theme
    if language in i18n.LANGUAGES:
        answer.set_cookie("kairan_language", language, max_age=YEAR_S, samesite="Lax", httponly=True)
    if theme in THEMES:
        answer.set_cookie("kairan_theme", theme, max_age=YEAR_S, samesite="Lax", httponly=True)
    return answer


def local(path: str | None) -> str:
    """A path of ours; anything that could lead elsewhere becomes Home."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")) or any(ord(sign) < 33 for sign in path):
        return "/"
    return path


def limiter() -> SignInLimiter:
    found: SignInLimiter = current_app.extensions.setdefault("kairan_limiter", SignInLimiter(lambda: _redis(current_app)))
    return found


def _redis(app: Any) -> Any:
    return app.extensions["kairan"].redis


def _network() -> str:
    """/24 or /48: an address alone is too easily changed, and more than that is nobody's business."""
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))
