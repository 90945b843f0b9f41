"""What members reach from a mail without login; here `/u/TOKEN`, the unsubscribe by one click (RFC 8058) or by a page.

GET shows and changes nothing, since scanners fetch every link. POST acts, also repeated, without cookie, Referer or Origin: the token
is the authority. The answer waits until no mail can start against it any more.
"""

import logging
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, abort, render_template, request
from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from kairan import clock, i18n, installation
from kairan.addresses import masked
from kairan.i18n import gettext as _
from kairan.models.audience import Member
from kairan.models.consent import ConsentSource
from kairan.runtime import Runtime, runtime
from kairan.settings import SettingError
from kairan.tokens import Act, TokenError, preferences_path
from unsubscribe import consent, leaving, ledger, topics
from unsubscribe.waiting import wait_for_gated

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

log = logging.getLogger(__name__)


def of_members(name: str) -> Blueprint:
    """A blueprint for pages that the token in their path opens."""
    made = Blueprint(name, __name__)
    made.before_request(_prepare)
    made.after_request(_guard)
    return made


def _prepare() -> None:
    request.max_content_length = FORM_MAX_BYTES
    i18n.set_language(_asked_language())


def _guard(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


def _asked_language() -> str:
    found = request.accept_languages.best_match(i18n.LANGUAGES)
    if found is None:
        with runtime().reading() as session:
            found = str(installation.get(session, "language"))
    return found


def act_of(token: str) -> Act:
    """One answer to every token that is not ours, whatever is wrong with it."""
    try:
        return runtime().secrets.tokens.read_act(token)
    except TokenError:
        abort(404)


def write(act: Act, change: Callable[[Session], Any]) -> Any:
    """Changes, commits, waits: from the answer on the change holds for every mail. 404 for a member who is gone."""
    try:
        with runtime().writing() as session:
            member_of(session, act)  # the words agreed to are kept in the language they are read in
            result = change(session)
    except ledger.UnknownMember:
        abort(404)
    wait_for_gated(runtime().database, act.member_id)
    return result


def ring(bell: Callable[[Runtime], object]) -> None:
    """After the commit. A bell that cannot be rung (Redis away) changes nothing: a sweep rings again what waits too long."""
    try:
        bell(runtime())
    except (SettingError, OSError, RedisError):
        log.warning("a bell could not be rung: Redis does not answer")


def means(act: Act, source: ConsentSource = ConsentSource.PAGE) -> dict[str, Any]:
    """What every act through a link has in common."""
    seen = ledger.evidence(request.remote_addr, request.user_agent.string)
    return {"source": source, "campaign_id": act.campaign_id or None, "evidence": seen, "now": clock.now()}


def member_of(session: Session, act: Act) -> Member:
    """Who the token speaks for; the page is in their language from here on."""
    member = session.get(Member, act.member_id) or abort(404)
    if member.locale:
        i18n.set_language(member.locale)
    return member


# ---- /u

blueprint = of_members("unsubscribe")
FEWER = ("weekly", "monthly")


# path: a slash too many is a wrong token like any other, with the same answer
@blueprint.get("/u/<path:token>")
def show_unsubscribe(token: str) -> str:
    return _page(act_of(token))


@blueprint.post("/u/<path:token>")
def unsubscribe(token: str) -> Response | str | tuple[str, int]:
    """A POST whose body got lost on the way counts as a no: not to hear it would be worse than an undo."""
    act, form = act_of(token), request.form
    if form.get("why"):
        return _hear_why(act)
    if form.get("undo") or form.get("only") or form.get("fewer"):
        return _instead(act)
    if form.get("List-Unsubscribe", "").lower() == "one-click":
        return _one_click(act)
    write(act, lambda session: consent.one_click(session, act.member_id, **means(act)))
    return _page(act)


def _one_click(act: Act) -> Response:
    """RFC 8058: a mail program asks, nobody reads the answer. Also of a member who is gone: they get no mail."""
    try:
        with runtime().writing() as session:
            consent.one_click(session, act.member_id, **means(act, ConsentSource.ONE_CLICK))
    except ledger.UnknownMember:
        pass
    wait_for_gated(runtime().database, act.member_id)
    return Response(_("You are unsubscribed") + "\n", mimetype="text/plain")


# ---- what the page offers after a no


def _instead(act: Act) -> str | tuple[str, int]:
    """Takes the no back, within the hour: for all as before, for all but this mail's topics, or for fewer mails."""
    fewer = request.form.get("fewer")
    if fewer and fewer not in FEWER:
        abort(400)
    if not write(act, lambda session: _take_back(session, act, fewer)):
        return _page(act, problem=_("The hour in which one tap undoes it is over. In your preferences you can receive mail again.")), 409
    return _page(act, stays=fewer or ("undo" if request.form.get("undo") else ""))


def _take_back(session: Session, act: Act, fewer: str | None) -> bool:
    """False: too late for it, and nothing is changed."""
    member, how = ledger.hold(session, act.member_id), means(act)
    no = leaving.last_no(session, member, act.campaign_id or None)
    if no is not None and leaving.is_late(no, how["now"]):
        return False
    consent.come_back(session, act.member_id, **how)
    if fewer:
        consent.choose(session, act.member_id, frequency=fewer, **how)
    elif request.form.get("only"):
        consent.leave_topics(session, act.member_id, **how)
    return True


def _hear_why(act: Act) -> str | tuple[str, int]:
    with runtime().reading() as session:
        member_of(session, act)  # a refusal is in their language
    try:
        reason, words = leaving.checked(request.form.get("reason", ""), request.form.get("words", ""))
    except leaving.NotTold as refused:
        return _page(act, problem=str(refused)), 422
    with runtime().writing() as session:
        no = leaving.last_no(session, ledger.hold(session, act.member_id), act.campaign_id or None)
        if no is not None:
            leaving.tell(session, no, reason, words, now=clock.now())
    return _page(act)


def _page(act: Act, *, stays: str = "", problem: str = "") -> str:
    """`stays`: how a no was just taken back. `problem`: why nothing was done."""
    token = runtime().secrets.tokens.act(act.member_id, act.campaign_id)
    with runtime().reading() as session:
        member = member_of(session, act)
        left, ended = consent.gets_no_mail(session, member), topics.ended_names(session, act.member_id, act.campaign_id)
        reached_by = [topic.name for topic in topics.of_campaign(session, act.member_id, act.campaign_id)]
        no = leaving.last_no(session, member, act.campaign_id or None)
        shown = {
            "masked_address": masked(member.email),
            "action": request.path,
            "preferences_href": preferences_path(token),
            "organisation": installation.get(session, "organisation"),
            "may_return": consent.may_come_back(session, member) or (bool(ended) and not left),
            "may_undo": no is not None and not leaving.is_late(no, clock.now()),
            "campaign_list": ", ".join(reached_by),
            "ended": [] if left else ended,
            "lists": reached_by if installation.get(session, "one_click_scope") == "list" else [],
            "reasons": leaving.REASONS if no is not None else {},
            "words_max": leaving.WORDS_MAX,
            "is_told": no is not None and leaving.is_told(session, no),
            "typed": request.form,
            "stays": stays,
            "problem": problem,
        }
    return render_template("public/unsubscribed.html" if left or ended else "public/unsubscribe.html", **shown)
