"""`/p/TOKEN`: what a member gets, how often, in which form and language, and what is recorded of it."""

from flask import abort, render_template, request
from sqlalchemy.orm import Session

from kairan import clock, installation, outbox
from kairan.addresses import AddressError, masked
from kairan.i18n import gettext as _
from kairan.runtime import runtime
from kairan.tokens import Act, unsubscribe_path
from unsubscribe import choice_words, choices, consent, moving, moving_mail, topics
from unsubscribe.pages import act_of, means, member_of, of_members, ring, write

blueprint = of_members("preferences")


@blueprint.get("/p/<path:token>")
def show_preferences(token: str) -> str:
    return _preferences_page(act_of(token))


@blueprint.post("/p/<path:token>")
def save_preferences(token: str) -> str | tuple[str, int]:
    act = act_of(token)
    if "address" in request.form:
        return _ask_address(act)
    try:
        write(act, lambda session: _save(session, act))
    except choices.NotPossible as refused:
        return _preferences_page(act, refused=refused), 422
    return _preferences_page(act, saved=True)


def _save(session: Session, act: Act) -> None:
    """A field that is absent stays as it is. Raises NotPossible, then nothing is changed."""
    how, form = means(act), request.form
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
        **how,
    )
    if everything == "leave":
        consent.leave_all(session, act.member_id, **how)
    elif everything == "return":
        consent.come_back(session, act.member_id, **how)


def _ask_address(act: Act) -> str | tuple[str, int]:
    """One answer to every address that could be one: it does not tell who is a member or on the suppression list."""
    email = request.form["address"]
    try:
        write(act, lambda session: _request_move(session, act, email))
    except AddressError:
        return _preferences_page(act, address_problem="no_address"), 422
    except moving.AskedTooOften:
        return _preferences_page(act, address_problem="too_often"), 429
    ring(outbox.ring)
    return _preferences_page(act, is_asked=True)


def _request_move(session: Session, act: Act, email: str) -> None:
    if not moving_mail.can_be_sent(session):
        abort(404)
    ground, now = runtime(), clock.now()
    request = moving.ask(session, ground.secrets, act.member_id, email, now=now)
    if request is not None:
        moving_mail.put_link(session, ground.secrets.tokens, request, ground.settings.base_url, now=now)


def _chosen_lists() -> list[int] | None:
    """The ids ticked; an empty one stands for none, no field at all for no change."""
    if "lists" not in request.form:
        return None
    given = [text.strip() for text in request.form.getlist("lists")]
    if not all(text == "" or (text.isascii() and text.isdigit() and len(text) < 16) for text in given):
        raise choices.NotPossible("lists", [])
    return [int(text) for text in given if text]


def _preferences_page(
    act: Act, *, saved: bool = False, refused: choices.NotPossible | None = None, is_asked: bool = False, address_problem: str = ""
) -> str:
    with runtime().reading() as session:
        member = member_of(session, act)
        frequency = "pause" if member.paused_until and member.paused_until > clock.now() else member.frequency
        shown = {
            "masked_address": masked(member.email),
            "action": request.path,
            "organisation": installation.get(session, "organisation"),
            "saved": saved,
            "problem": _problem(refused) if refused else "",
            "left": consent.gets_no_mail(session, member),
            "may_return": consent.may_come_back(session, member),
            "unsubscribe_href": unsubscribe_path(runtime().secrets.tokens.act(act.member_id, act.campaign_id)),
            "may_ask_again": consent.may_ask_again(session, member),
            "member": {
                "format": member.format,
                "recording": member.recording,
                "frequency": frequency,
                "paused_until": member.paused_until,
                "locale": choices.spoken(session, member),
            },
            "topics": topics.offered(session, act.member_id),
            "questions": choice_words.QUESTIONS,
            "options": choice_words.OPTIONS,
            "leave_all": choice_words.LEAVE_ALL,
            "may_move": moving_mail.can_be_sent(session),
            "is_asked": is_asked,
            "address_problem": address_problem,
            "typed_address": request.form.get("address", "") if address_problem else "",
        }
    return render_template("public/preferences.html", **shown)


def _problem(refused: choices.NotPossible) -> str:
    if refused.field == "lists":
        return _("One of the topics is not offered any more. Nothing was changed.")
    words = {"field": refused.field, "possible": ", ".join(refused.possible)}
    return _("This choice is not possible; nothing was changed. Possible for “%(field)s”: %(possible)s.", **words)
