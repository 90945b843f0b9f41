"""The versions of a campaign: added and removed beside its content, tried on a share of the members, and how each of them did."""

from dataclasses import dataclass, replace

from flask import Blueprint, abort, request
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan import i18n
from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign, CampaignStatus
from mailer.campaigns import jobs, revisions, trials, versions
from mailer.campaigns.revisions import Content
from mailer.campaigns.trials import Trial, TrialError
from mailer.campaigns.versions import VersionError
from mailer.reports import intervals
from mailer.reports.intervals import Interval
from mailer.web import edge
from mailer.web.forms import Form

blueprint = Blueprint("versions", __name__)
LANGUAGES = {"en": "English", "ja": "日本語"}
SHARES = (10, 20, 30, 40, 50)


@dataclass(frozen=True, slots=True)
class Row:
    """One variant's line in the report. Rates are of the accepted, with an interval of 95 %; None: nobody has it yet."""

    name: str
    subject: str
    received: int
    opened: Interval | None
    clicked: Interval | None
    won: bool


def asked(content: Content) -> str:
    """The version that the address of the page names."""
    key = request.args.get("version", versions.MAIN)
    return key if versions.has(content, key) else abort(404)


def names(content: Content) -> dict[str, str]:
    """Key → what it is called, in order. The mail itself goes by the languages that it serves."""
    several = len(versions.variants(content)) > 1
    return {key: _name(content, key, several) for key in versions.keys(content)}


def _name(content: Content, key: str, several: bool) -> str:
    variant, language = versions.split(key)
    own = set(versions.languages(content))
    served = [LANGUAGES[language]] if language else [] if not own else [words for name, words in LANGUAGES.items() if name not in own]
    spoken = "/".join(served) or (_("common") if own else "")
    if not several:
        return spoken or _("The mail")
    return f"{variant.upper()} {spoken}".strip()


def to_add(content: Content) -> list[tuple[str, str]]:
    """(what the button sends, its words)"""
    wanted = [("variant", _("Another variant (A/B)"))] if len(versions.variants(content)) < len(versions.VARIANTS) else []
    spoken = versions.languages(content)
    return wanted + [(name, _("A version in %(language)s", language=words)) for name, words in LANGUAGES.items() if name not in spoken]


def can_go(content: Content, key: str) -> bool:
    variant, language = versions.split(key)
    return key != versions.MAIN and (variant == versions.MAIN or not language)


def change(session: Session, campaign: Campaign, what: str, key: str) -> str:
    """Adds or removes a version; the key to go on with. Raises RevisionConflict, NotEditable."""
    shown = versions.MAIN

    def changed(content: Content) -> Content:
        nonlocal shown
        if what == "remove":
            return versions.without(content, key)
        if what == "variant":
            content, shown = versions.with_variant(content)
            return content
        shown = what
        return versions.with_language(content, what)

    try:
        saved = revisions.save_change(session, campaign.id, campaign.revision, changed, now=edge.now(), by=edge.signed_in().id)
    except VersionError:
        abort(422)
    session.refresh(campaign)
    trials.settle_variants(campaign, len(versions.variants(revisions.content_of(saved))))
    return shown


# ---- the test


@blueprint.post("/campaigns/<int:campaign_id>/trial")
@edge.allowed("campaign.edit")
def set_up(campaign_id: int) -> Response:
    form = Form(request.form)
    share, hours = form.raw("share"), form.raw("hours")
    with edge.writing() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        try:
            trials.set_up(
                session,
                campaign,
                share=int(share) if share.isdigit() and form.raw("how") == "test" else 100,
                hours=int(hours) if hours.isdigit() and len(hours) < 6 else 0,
                by=form.raw("by"),
            )
        except TrialError as error:
            return edge.back_to(f"/campaigns/{campaign_id}/review#versions", _why(error), "bad")
        except revisions.NotEditable:
            abort(409)
        edge.audit(session, "campaign.trial", campaign_id, share=share, by=form.raw("by"))
    return edge.back_to(f"/campaigns/{campaign_id}/review#versions", _("Saved."))


def _why(error: TrialError) -> str:
    sentences = {
        "no_variants": _("There is nothing to test: the mail has one variant only."),
        "share": _("The test goes to 5 to 50 percent of the members."),
        "hours": _("The test takes 1 to 168 hours."),
        "by": _("Choose what decides."),
        "decided": _("It was decided already; nothing happens twice."),
        "not_live": _("The campaign does not go out now."),
    }
    return sentences.get(str(error), _("This is not possible."))


@blueprint.post("/campaigns/<int:campaign_id>/trial/winner")
@edge.allowed("campaign.send")
def decide(campaign_id: int) -> Response:
    """A person decides, before the figures do or instead of them."""
    winner = Form(request.form).raw("winner")
    then = f"/campaigns/{campaign_id}/progress"
    with edge.writing() as session:
        if session.get(Campaign, campaign_id) is None or not winner.isdigit():
            abort(404)
        try:
            trials.decide(session, campaign_id, int(winner[:3]), now=edge.now(), by=edge.signed_in().id)
        except TrialError as error:
            return edge.back_to(then, _why(error), "info" if str(error) == "decided" else "bad")
        edge.audit(session, "campaign.winner", campaign_id, winner=int(winner))
    edge.ring(lambda: jobs.release(edge.runtime(), campaign_id))
    return edge.back_to(then, _("The rest gets this version now."))


# ---- how they did


def live_trial(campaign: Campaign) -> Trial | None:
    """The test whose winner is not known yet."""
    trial = trials.of(campaign)
    return trial if trial and trial.winner is None and campaign.status in (CampaignStatus.SENDING, CampaignStatus.PAUSED) else None


def rows(session: Session, campaign: Campaign) -> list[Row]:
    """Empty for a campaign of one variant."""
    content = revisions.content_of(revisions.current(session, campaign))
    known = versions.variants(content)
    if len(known) < 2:
        return []
    trial = trials.of(campaign)
    return [
        Row(
            key.upper(),
            versions.effective(content, key).subject,
            each.received,
            intervals.wilson(each.openers, each.received),
            intervals.wilson(each.clickers, each.received),
            trial is not None and trial.winner == each.variant,
        )
        for key, each in zip(known, trials.figures(session, campaign, len(known)), strict=True)
    ]


def verdict(found: list[Row], by: str) -> str:
    """How sure it is that the best is better than the next, in a sentence. `by`: `opens` or `clicks`."""
    ranked = sorted(
        (row for row in found if (row.opened if by == "opens" else row.clicked) is not None),
        key=lambda row: -_rate(row, by).share,
    )
    if len(ranked) < 2:
        return ""
    best, next_ = ranked[:2]
    low, high = intervals.newcombe(_rate(best, by), _rate(next_, by))
    if low > 0:
        return _(
            "%(best)s did better than %(next)s, by %(low)s to %(high)s points (95 %% confidence).",
            best=best.name, next=next_.name, low=_points(low), high=_points(high),
        )  # fmt: skip
    return _(
        "The difference between %(best)s and %(next)s may be chance: it lies between %(low)s and %(high)s points.",
        best=best.name, next=next_.name, low=_points(low), high=_points(high),
    )  # fmt: skip


def _rate(row: Row, by: str) -> Interval:
    found = row.opened if by == "opens" else row.clicked
    return replace(found) if found else Interval(0.0, 0.0, 0.0)


def _points(difference: float) -> str:
    return i18n.number(round(100 * difference, 1))
