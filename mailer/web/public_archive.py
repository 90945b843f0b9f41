"""`/archive/LIST`: what was sent to a list that has a public archive, as mails for nobody in particular, and its feed.

No sign-in, no cookie, no script, and nothing recorded. Caches may keep an answer for five minutes: so long a mail that was taken out may
still be seen.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Any, cast

from flask import Blueprint, abort, g, make_response, render_template, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan import i18n, installation
from kairan.models.audience import List
from mailer.campaigns import archive_feed, compilation, public_archive
from mailer.compose import compiler
from mailer.compose.source import Source
from mailer.web import breakdowns, edge, paging, previews
from mailer.web.gatekeeper import MAIL_CSP
from unsubscribe.pages import HEADERS

blueprint = Blueprint("public_archive", __name__)
PAGE = 20
PAGE_CSP = f"{HEADERS['Content-Security-Policy']}; frame-src 'self'"
# Links open a window of their own: most sites refuse to be shown in a frame.
FRAME_CSP = MAIL_CSP.replace("sandbox allow-same-origin", "sandbox allow-popups allow-popups-to-escape-sandbox")
MADE_MAX = 32
"""mails kept as they were made; one has a megabyte at most"""


@blueprint.before_request
def _prepare() -> None:
    with edge.reading() as session:
        g.held = installation.everything(session)
    i18n.set_language(request.accept_languages.best_match(i18n.LANGUAGES) or i18n.best_language(_held("language")))


@blueprint.after_request
def _finish(answer: Response) -> Response:
    headers = answer.headers
    headers.setdefault("Content-Security-Policy", PAGE_CSP)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Vary"] = "Accept-Language"
    if answer.status_code != 200:
        return answer
    headers["Cache-Control"] = "public, max-age=300"
    if _held("archive_noindex"):
        headers["X-Robots-Tag"] = "noindex"
    answer.set_etag(blake2b(answer.get_data(), digest_size=16).hexdigest())
    return answer.make_conditional(request)


def _held(name: str) -> Any:
    """A setting of the installation."""
    return cast("dict[str, Any]", g.held)[name]


@blueprint.get("/archive/<place>")
@edge.anyone
def show(place: str) -> str:
    with edge.reading() as session:
        found = _list(session, place)
        entries = public_archive.newest(session, found.id, after=paging.after(), limit=PAGE + 1)
    page = paging.page(entries, lambda entry: entry.campaign_id, PAGE)
    return render_template("public/archive.html", page=page, **_shown(found))


@blueprint.get("/archive/<place>/<int(max=999999999999999999):campaign_id>")
@edge.anyone
def show_campaign(place: str, campaign_id: int) -> str:
    with edge.reading() as session:
        found = _list(session, place)
        entry = public_archive.entry(session, found.id, campaign_id) or abort(404)
    return render_template("public/archive_mail.html", entry=entry, **_shown(found))


def _shown(row: List) -> dict[str, object]:
    return {
        "list": row,
        "home": public_archive.path(row),
        "origin": edge.runtime().settings.base_url,
        "organisation": _held("organisation"),
        "zone": breakdowns.zone_of(_held("time_zone")),
        "noindex": _held("archive_noindex"),
    }


@blueprint.get("/archive/<place>/<int(max=999999999999999999):campaign_id>/mail")
@edge.anyone
def mail(place: str, campaign_id: int) -> Response:
    """The mail itself, for the frame of its page: in the language of members who named none, and dark where the reader's system is."""
    with edge.reading() as session:
        found = _list(session, place)
        campaign = public_archive.find(session, found.id, campaign_id) or abort(404)
        language = i18n.best_language(_held("language"))
        version = compilation.version_for(session, campaign, language)
        source = compilation.source_of(session, campaign, edge.runtime().settings.base_url, version)
    try:
        made = _made(source, language)
    except compiler.ContentError:  # it names an attribute that is gone since
        abort(404)
    answer = make_response(made.replace('<meta charset="utf-8">', '<meta charset="utf-8"><base target="_blank">', 1))
    answer.headers["Content-Security-Policy"] = FRAME_CSP
    return answer


@lru_cache(MADE_MAX)
def _made(source: Source, language: str) -> str:
    """Anybody may ask for it, as often as they like. Raises ContentError."""
    page = compiler.preview(source, public_archive.NOBODY, language, own_links=False)
    return previews.at_home(page, source.base_url)


@blueprint.get("/archive/<place>/feed.xml")
@edge.anyone
def feed(place: str) -> Response:
    with edge.reading() as session:
        found = _list(session, place)
        entries = public_archive.newest(session, found.id, after=None, limit=archive_feed.ENTRIES_MAX)
        changed_at = public_archive.changed_at(session, found)
    answer = make_response(archive_feed.written(found, entries, edge.runtime().settings.base_url, _held("language")))
    answer.headers["Content-Type"] = archive_feed.CONTENT_TYPE
    answer.last_modified = changed_at
    return answer


def _list(session: Session, place: str) -> List:
    return public_archive.find_list(session, place) or abort(404)
