"""What members reach from a mail without login; here `/u/TOKEN`, the unsubscribe by one click (RFC 8058) or by a page.

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
from unsubscribe import consent, ledger, topics
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


# path: a slash too many is a wrong token like any other, with the same answer
@blueprint.get("/u/<path:token>")
def show_unsubscribe(token: str) -> str:
    return _unsubscribe_page(act_of(token))


@blueprint.post("/u/<path:token>")
def unsubscribe(token: str) -> Response | str:
    """A POST whose body got lost on the way counts as a no: not to hear it would be worse than an undo."""
    act = act_of(token)
    undone = bool(request.form.get("undo"))
    if undone:
        write(act, lambda session: consent.come_back(session, act.member_id, **means(act)))
    elif request.form.get("only"):
        write(act, lambda session: _only_topics(session, act))
    elif request.form.get("List-Unsubscribe", "").lower() == "one-click":
        return _one_click(act)
    else:
        write(act, lambda session: consent.one_click(session, act.member_id, **means(act)))
    return _unsubscribe_page(act, undone=undone)


def _one_click(act: Act) -> Response:
    """RFC 8058: a mail program asks, nobody reads the answer. Also of a member who is gone: they get no mail."""
    try:
        with runtime().writing() as session:
            consent.one_click(session, act.member_id, **means(act, ConsentSource.ONE_CLICK))
    except ledger.UnknownMember:
        pass
    wait_for_gated(runtime().database, act.member_id)
    return Response(_("You are unsubscribed") + "\n", mimetype="text/plain")


def _only_topics(session: Session, act: Act) -> None:
    """Instead of all mail only the topics that this mail came for."""
    consent.come_back(session, act.member_id, **means(act))
    consent.leave_topics(session, act.member_id, **means(act))


def _unsubscribe_page(act: Act, *, undone: bool = False) -> str:
    token = runtime().secrets.tokens.act(act.member_id, act.campaign_id)
    with runtime().reading() as session:
        member = member_of(session, act)
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
