"""What members reach from a mail without login: one-click unsubscribe (RFC 8058) and the preferences, `/u/TOKEN` and `/p/TOKEN`.

GET shows and changes nothing, since scanners fetch every link. POST acts, also repeated, without cookie, Referer or Origin: the token
is the authority. The answer waits until no mail can start against it any more.
"""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, abort, render_template, request
from sqlalchemy.orm import Session

from kairan import clock, i18n, installation
from kairan.addresses import masked
from kairan.i18n import gettext as _
from kairan.models.audience import Member
from kairan.models.consent import ConsentSource
from kairan.runtime import runtime
from kairan.tokens import Act, TokenError, preferences_path
from unsubscribe import choices, consent, ledger, topics
from unsubscribe.waiting import wait_for_gated

blueprint = Blueprint("public", __name__)

FORM_MAX_BYTES = 64 * 1024
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


@blueprint.before_request
def _prepare() -> None:
    request.max_content_length = FORM_MAX_BYTES
    i18n.set_language(_asked_language())


@blueprint.after_request
def _guard(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


def _asked_language() -> str:
    found = request.accept_languages.best_match(i18n.LANGUAGES)
    if found is None:
        with runtime().reading() as session:
            found = str(installation.get(session, "language"))
    return found


def _act(token: str) -> Act:
    """One answer to every token that is not ours, whatever is wrong with it."""
    try:
        return runtime().secrets.tokens.read_act(token)
    except TokenError:
        abort(404)


def _write(act: Act, change: Callable[[Session], Any]) -> Any:
    """Changes, commits, waits: from the answer on the change holds for every mail. 404 for a member who is gone."""
    try:
        with runtime().writing() as session:
            result = change(session)
    except ledger.UnknownMember:
        abort(404)
    wait_for_gated(runtime().database, act.member_id)
    return result


def _means(act: Act, source: ConsentSource = ConsentSource.PAGE) -> dict[str, Any]:
    """What every act through a link has in common."""
    seen = ledger.evidence(request.remote_addr, request.user_agent.string)
    return {"source": source, "campaign_id": act.campaign_id or None, "evidence": seen, "now": clock.now()}


def _member(session: Session, act: Act) -> Member:
    """Who the token speaks for; the page is in their language from here on."""
    member = session.get(Member, act.member_id) or abort(404)
    if member.locale:
        i18n.set_language(member.locale)
    return member


# ---- /u


# path: a slash too many is a wrong token like any other, with the same answer
@blueprint.get("/u/<path:token>")
def show_unsubscribe(token: str) -> str:
    return _unsubscribe_page(_act(token))


@blueprint.post("/u/<path:token>")
def unsubscribe(token: str) -> Response | str:
    """A POST whose body got lost on the way counts as a no: not to hear it would be worse than an undo."""
    act = _act(token)
    undone = bool(request.form.get("undo"))
    if undone:
        _write(act, lambda session: consent.come_back(session, act.member_id, **_means(act)))
    elif request.form.get("only"):
        _write(act, lambda session: _only_topics(session, act))
    elif request.form.get("List-Unsubscribe", "").lower() == "one-click":
        return _one_click(act)
    else:
        _write(act, lambda session: consent.one_click(session, act.member_id, **_means(act)))
    return _unsubscribe_page(act, undone=undone)


def _one_click(act: Act) -> Response:
    """RFC 8058: a mail program asks, nobody reads the answer. Also of a member who is gone: they get no mail."""
    try:
        with runtime().writing() as session:
            consent.one_click(session, act.member_id, **_means(act, ConsentSource.ONE_CLICK))
    except ledger.UnknownMember:
        pass
    wait_for_gated(runtime().database, act.member_id)
    return Response(_("You are unsubscribed") + "\n", mimetype="text/plain")


def _only_topics(session: Session, act: Act) -> None:
    """Instead of all mail only the topics that this mail came for."""
    consent.come_back(session, act.member_id, **_means(act))
    consent.leave_topics(session, act.member_id, **_means(act))


def _unsubscribe_page(act: Act, *, undone: bool = False) -> str:
    token = runtime().secrets.tokens.act(act.member_id, act.campaign_id)
    with runtime().reading() as session:
        member = _member(session, act)
        left, ended = consent.gets_no_mail(session, member), topics.ended_names(session, act.member_id, act.campaign_id)
        reached_by = [topic.name for topic in topics.of_campaign(session, act.member_id, act.campaign_id)]
        one_topic = installation.get(session, "one_click_scope") == "list"
        shown = {
            "masked_address": masked(member.email),
            "action": request.path,
            "preferences_href": preferences_path(token),
            "organisation": installation.get(session, "organisation"),
            "may_return": consent.may_come_back(session, member) or (bool(ended) and not left),
            "campaign_list": ", ".join(reached_by),
            "ended": [] if left else ended,
            "lists": reached_by if one_topic else [],
            "undone": undone,
        }
    return render_template("public/unsubscribed.html" if left or ended else "public/unsubscribe.html", **shown)


# ---- /p


@blueprint.get("/p/<path:token>")
def show_preferences(token: str) -> str:
    return _preferences_page(_act(token))


@blueprint.post("/p/<path:token>")
def save_preferences(token: str) -> str | tuple[str, int]:
    act = _act(token)
    try:
        _write(act, lambda session: _save(session, act))
    except choices.NotPossible as refused:
        return _preferences_page(act, refused=refused), 422
    return _preferences_page(act, saved=True)


def _save(session: Session, act: Act) -> None:
    """A field that is absent stays as it is. Raises NotPossible, then nothing is changed."""
    means, form = _means(act), request.form
    _member(session, act)  # the words agreed to are kept in the language they are read in
    everything = form.get("all")
    choices.check("all", everything, ("leave", "return"))
    consent.choose(
        session,
        act.member_id,
        format=form.get("format"),
        recording=form.get("recording"),
        frequency=form.get("frequency"),
        language=form.get("language"),
        lists=_chosen_lists(),
        **means,
    )
    if everything == "leave":
        consent.leave_all(session, act.member_id, **means)
    elif everything == "return":
        consent.come_back(session, act.member_id, **means)


def _chosen_lists() -> list[int] | None:
    """The ids ticked; an empty one stands for none, no field at all for no change."""
    if "lists" not in request.form:
        return None
    given = [text.strip() for text in request.form.getlist("lists")]
    if not all(text == "" or (text.isascii() and text.isdigit() and len(text) < 16) for text in given):
        raise choices.NotPossible("lists", [])
    return [int(text) for text in given if text]


def _preferences_page(act: Act, *, saved: bool = False, refused: choices.NotPossible | None = None) -> str:
    with runtime().reading() as session:
        member = _member(session, act)
        frequency = "pause" if member.paused_until and member.paused_until > clock.now() else member.frequency
        shown = {
            "masked_address": masked(member.email),
            "action": request.path,
            "organisation": installation.get(session, "organisation"),
            "saved": saved,
            "problem": _problem(refused) if refused else "",
            "left": consent.gets_no_mail(session, member),
            "may_return": consent.may_come_back(session, member),
            "member": {
                "format": member.format,
                "recording": member.recording,
                "frequency": frequency,
                "paused_until": member.paused_until,
                "locale": choices.spoken(session, member),
            },
            "topics": topics.offered(session, act.member_id),
        }
    return render_template("public/preferences.html", **shown)


def _problem(refused: choices.NotPossible) -> str:
    if refused.field == "lists":
        return _("One of the topics is not offered any more. Nothing was changed.")
    words = {"field": refused.field, "possible": ", ".join(refused.possible)}
    return _("This choice is not possible; nothing was changed. Possible for “%(field)s”: %(possible)s.", **words)
