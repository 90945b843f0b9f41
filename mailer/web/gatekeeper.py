"""Before and after every request: who it is, whether it was meant (CSRF), whether the role covers it, and the headers of the answer.

Everything is denied unless a view says what it asks for. The paths in mails (/u /p /confirm /f and friends) have no cookie: the token in
the path is their authority, so there is nothing to forge; the API has bearer tokens and never looks at the cookie.
"""

import hmac
import secrets
from hashlib import sha256
from urllib.parse import urlsplit

from flask import Flask, abort, g, render_template, request
from werkzeug.wrappers import Response

from kairan import i18n
from mailer.accounts import sessions
from mailer.accounts.authorize import authorize
from mailer.delivery import signing
from mailer.web import edge

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
MEMBERS = ("u", "p", "v", "c", "o", "m", "b", "f", "confirm", "about", "archive")
NO_COOKIE = frozenset({*MEMBERS, "api", "static", "healthz", "readyz", "metrics"})
"""first parts of paths that never look at the session"""
ON_LINK_HOSTS = frozenset({*MEMBERS, "static", "healthz", "readyz"})
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
IMMUTABLE = "public, max-age=31536000, immutable"
"""of built files: their names carry a hash of what is in them"""
MAIL_CSP = (
    "sandbox allow-same-origin; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'"
)
"""of a rendered mail: inline style yes, script never (FRONTEND.md 6)"""


def guard(app: Flask) -> None:
    app.before_request(recognise)
    app.before_request(check_host)
    app.before_request(check_meant)
    app.before_request(check_allowed)
    app.after_request(add_headers)


# ---- who


def cookie_name(name: str) -> str:
    """`__Host-` where the installation is reached over https: no other host and no plain http can set it."""
    return f"__Host-{name}" if _is_https() else name


def set_cookie(response: Response, name: str, value: str, max_age_s: int | None = None) -> None:
    response.set_cookie(cookie_name(name), value, max_age=max_age_s, secure=_is_https(), httponly=True, samesite="Lax", path="/")


def drop_cookie(response: Response, name: str) -> None:
    response.delete_cookie(cookie_name(name), secure=_is_https(), httponly=True, samesite="Lax", path="/")


def session_cookie() -> str | None:
    return request.cookies.get(cookie_name("kairan_session"))


def _is_https() -> bool:
    return urlsplit(edge.runtime().settings.base_url).scheme == "https"


def recognise() -> None:
    g.person = None
    i18n.set_language(_wanted_language())
    if first_part() in NO_COOKIE:
        return
    cookie = session_cookie()
    if not cookie:
        return
    with edge.reading() as session:
        g.person = sessions.resume(session, cookie, edge.now())
    if g.person:
        i18n.set_language(g.person.language)
        if edge.now() - g.person.seen_at > sessions.SEEN_EVERY:
            with edge.writing() as session:
                sessions.touch(session, cookie, edge.now())


def check_host() -> Response | None:
    """A link host of a sender's answers what stands in mails and nothing else: nobody signs in under a name that only mails use."""
    host = request.host.partition(":")[0].lower()
    if first_part() in ON_LINK_HOSTS or host == urlsplit(edge.runtime().settings.base_url).hostname:
        return None
    with edge.reading() as session:
        if not signing.is_link_host(session, host):
            return None
    return Response(render_template("public/not_found.html"), 404, content_type="text/html; charset=utf-8")


def _wanted_language() -> str:
    return request.cookies.get("kairan_language") or request.accept_languages.best_match(i18n.LANGUAGES) or i18n.DEFAULT_LANGUAGE


def first_part() -> str:
    return request.path.split("/", 2)[1]


# ---- meant


def check_meant() -> None:
    """Refuses an unsafe request that another site made, or that lacks the token of our own form."""
    mark = _mark()
    request.max_content_length = mark.max_bytes if mark else edge.FORM_MAX_BYTES
    request.max_form_memory_size = edge.FORM_MAX_BYTES
    if request.method in SAFE or first_part() in NO_COOKIE or request.endpoint is None:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        abort(403)
    origin = request.headers.get("Origin")
    if site is None and origin is not None and urlsplit(origin).netloc not in _own_hosts():
        abort(403)
    given = request.headers.get("X-CSRF-Token") or request.form.get("csrf_token", "")
    if not hmac.compare_digest(given.encode(), csrf_token().encode()):
        # A session that has ended takes its token with it: that person is asked to sign in, and what was typed is kept.
        abort(401 if edge.person() is None and session_cookie() else 403)


def _own_hosts() -> set[str]:
    return {request.host, urlsplit(edge.runtime().settings.base_url).netloc}


def csrf_token() -> str:
    """Of the session; before sign-in, of the visit."""
    found = edge.person()
    if found is not None:
        return found.csrf
    return hmac.digest(edge.runtime().secrets.session, f"visit {_visit()}".encode(), sha256).hex()


def _visit() -> str:
    if "visit" not in g:
        g.visit = request.cookies.get(cookie_name("kairan_visit")) or secrets.token_urlsafe(16)
        g.visit_is_new = cookie_name("kairan_visit") not in request.cookies
    return str(g.visit)


# ---- allowed


def check_allowed() -> None:
    if request.endpoint is None or first_part() in NO_COOKIE:
        return
    mark = _mark()
    if mark is None:
        abort(403)
    if mark.action is None:
        return
    if edge.person() is None:
        abort(401)
    authorize(edge.person(), mark.action)


def _mark() -> edge.Mark | None:
    from flask import current_app

    view = current_app.view_functions.get(request.endpoint or "")
    return getattr(view, "kairan_mark", None)


# ---- headers


def add_headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault("Content-Security-Policy", CSP)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    # same-origin, not no-referrer: with that one browsers send `Origin: null` and we could not tell our own forms.
    headers.setdefault("Referrer-Policy", "same-origin")
    if first_part() not in MEMBERS:  # pictures of a mail are shown by webmail, which is another site
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
    if _is_https():
        headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if request.path.startswith("/static/dist/") and response.status_code == 200:
        headers["Cache-Control"] = IMMUTABLE
    if first_part() not in NO_COOKIE:
        headers.setdefault("Cache-Control", "no-store")
        if g.get("visit_is_new") and edge.person() is None:
            set_cookie(response, "kairan_visit", g.visit)
    return response
