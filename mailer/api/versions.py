"""Versions of a campaign by API: variants and languages, the test that finds the better one, and how each did."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy.orm import Session

from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign
from mailer.api.calls import Call, operation
from mailer.api.campaign_content import ContentGiven, ContentShown, Source, as_fields, as_given
from mailer.api.campaigns import find, hold, not_now
from mailer.api.idempotency import Answer
from mailer.api.problems import Problem, wrong
from mailer.api.shapes import Address, Given, MaybeLine, Nothing, Shown
from mailer.campaigns import jobs, revisions, trials
from mailer.campaigns import versions as campaign_versions
from mailer.campaigns.revisions import Content
from mailer.campaigns.trials import TrialError
from mailer.campaigns.versions import VersionError

Key = Annotated[str, Field(pattern=r"^([bcd](-(ja|en))?|ja|en)$")]


class VersionGiven(Given):
    """What this version says otherwise; the rest follows the campaign."""

    subject: MaybeLine | None = None
    preheader: MaybeLine | None = None
    from_name: Annotated[MaybeLine | None, Field(max_length=200)] = None
    from_email: Address | None = None
    reply_to: Address | None = None
    content: ContentGiven | None = None
    text: Source | None = None


class VersionsGiven(Given):
    """All versions beside the mail itself: `b`, `c`, `d` are variants, `ja` and `en` languages, `b-ja` a variant in a language. One that
    is not named goes."""

    versions: dict[Key, VersionGiven]


class TrialGiven(Given):
    """`share`: percent of the members that the variants are tried on. `by`: what decides; `hand`: `POST …/trial/winner` does."""

    share: int = Field(ge=trials.SHARES[0], le=trials.SHARES[1])
    hours: int = Field(4, ge=trials.HOURS[0], le=trials.HOURS[1])
    by: Literal["clicks", "opens", "hand"] = "clicks"


class WinnerGiven(Given):
    variant: Literal["a", "b", "c", "d"]


class VersionShown(Shown):
    subject: str
    preheader: str
    from_name: str
    from_email: str
    reply_to: str | None
    content: ContentShown
    text: str | None
    own: list[str]
    """the fields that it says itself"""


class VariantShown(Shown):
    """People's, of the members in the test; without one of all that have it."""

    variant: str
    received: int
    openers: int
    clickers: int


class TrialShown(Shown):
    share: int
    hours: int
    by: str
    ends_at: datetime | None
    winner: str | None
    decided_at: datetime | None


class VersionsShown(Shown):
    revision: int
    versions: dict[str, VersionShown]
    variants: list[VariantShown]
    trial: TrialShown | None


def _shown(session: Session, campaign: Campaign) -> VersionsShown:
    content = revisions.content_of(revisions.current(session, campaign))
    variants = campaign_versions.variants(content)
    counted = trials.figures(session, campaign, len(variants)) if campaign.started_at else []
    trial = trials.of(campaign)
    return VersionsShown(
        revision=campaign.revision,
        versions={key: _version(content, key) for key in campaign_versions.keys(content)},
        variants=[
            VariantShown(variant=variants[each.variant], received=each.received, openers=each.openers, clickers=each.clickers)
            for each in counted
        ],
        trial=None if trial is None else _trial(trial),
    )


def _version(content: Content, key: str) -> VersionShown:
    said = campaign_versions.effective(content, key)
    fields = {name: value for name, value in asdict(said).items() if name not in ("kind", "content", "versions")}
    own = campaign_versions.FIELDS if key == campaign_versions.MAIN else sorted(content.versions.get(key, {}))
    return VersionShown(**fields, content=as_given(said), own=[name for name in own if name != "kind"])


def _trial(trial: trials.Trial) -> TrialShown:
    said = asdict(trial)
    winner = None if trial.winner is None else campaign_versions.VARIANTS[trial.winner]
    return TrialShown(**{name: said[name] for name in ("share", "hours", "by", "ends_at", "decided_at")}, winner=winner)


@operation("GET", "/campaigns/{campaign_id}/versions", "campaign.view", {200: VersionsShown}, problems=(404,))
def show(call: Call, campaign_id: int) -> Answer:
    """The campaign's versions, the test, and how the variants do."""
    with call.reading() as session:
        return call.say(200, _shown(session, find(session, campaign_id)))


@operation("PUT", "/campaigns/{campaign_id}/versions", "campaign.edit", {200: VersionsShown}, body=VersionsGiven, problems=(404, 409))
def put(call: Call, campaign_id: int, body: VersionsGiven) -> Answer:
    """Sets all versions beside the mail itself; once it has been started, only what they say."""
    said = {key: _said(key, given) for key, given in body.versions.items()}
    with call.effect() as session:
        campaign = hold(session, campaign_id)
        try:
            saved = revisions.save_change(session, campaign_id, campaign.revision, lambda content: _changed(content, said), now=call.now)
        except revisions.NotEditable:
            raise not_now(campaign.status) from None
        session.refresh(campaign)
        trials.settle_variants(campaign, len(campaign_versions.variants(revisions.content_of(saved))))
        call.audit(session, "campaign.versions", campaign_id, names=sorted(said))
        return call.say(200, _shown(session, campaign))


def _said(key: str, given: VersionGiven) -> dict[str, Any]:
    """Raises Problem."""
    said: dict[str, Any] = given.model_dump(include=given.model_fields_set - {"content"}, exclude_none=True)
    if given.content is not None:
        try:
            said |= as_fields(given.content)
        except Problem as problem:
            raise wrong(f"versions/{key}/content", problem.detail) from None
    return said


def _changed(content: Content, said: dict[str, dict[str, Any]]) -> Content:
    """Raises Problem."""
    variants = sorted({campaign_versions.split(key)[0] for key in said} - {campaign_versions.MAIN})
    if variants != list(campaign_versions.VARIANTS[1 : 1 + len(variants)]) or not all(name in said for name in variants):
        raise wrong("versions", _("Variants are named in order: b, then c, then d."))
    spoken = {campaign_versions.split(key)[1] for key in said} - {""}
    if not all(name in said for name in spoken):
        raise wrong("versions", _("A variant in a language needs the language's own version beside it."))
    whole: dict[str, dict[str, Any]] = {campaign_versions.join(variant, language): {} for variant in variants for language in ("", *spoken)}
    changed = Content(**{**asdict(content), "versions": whole | {name: {} for name in spoken}})
    for key in sorted(said, key=len):
        try:
            changed = campaign_versions.changed(changed, key, said[key])
        except VersionError:
            raise wrong(f"versions/{key}", _("There is no such version.")) from None
    return changed


@operation("PUT", "/campaigns/{campaign_id}/trial", "campaign.edit", {200: VersionsShown}, body=TrialGiven, problems=(404, 409))
def set_trial(call: Call, campaign_id: int, body: TrialGiven) -> Answer:
    """Tries the variants of a draft on a part of the members; the rest gets the one that wins."""
    with call.effect() as session:
        campaign = hold(session, campaign_id)
        try:
            trials.set_up(session, campaign, share=body.share, hours=body.hours, by=body.by)
        except TrialError:
            raise wrong("share", _("There is nothing to test: the mail has one variant only.")) from None
        except revisions.NotEditable:
            raise not_now(campaign.status) from None
        call.audit(session, "campaign.trial", campaign_id, share=body.share, by=body.by)
        return call.say(200, _shown(session, campaign))


@operation("DELETE", "/campaigns/{campaign_id}/trial", "campaign.edit", {200: VersionsShown}, body=Nothing, problems=(404, 409))
def end_trial(call: Call, campaign_id: int, body: Nothing) -> Answer:
    """The variants of a draft go to equal shares of all members."""
    with call.effect() as session:
        campaign = hold(session, campaign_id)
        try:
            trials.set_up(session, campaign, share=100, hours=1, by="hand")
        except TrialError:
            raise wrong("share", _("There is nothing to test: the mail has one variant only.")) from None
        except revisions.NotEditable:
            raise not_now(campaign.status) from None
        call.audit(session, "campaign.trial", campaign_id, share=100)
        return call.say(200, _shown(session, campaign))


@operation("POST", "/campaigns/{campaign_id}/trial/winner", "campaign.send", {200: VersionsShown}, body=WinnerGiven, problems=(404, 409))
def decide(call: Call, campaign_id: int, body: WinnerGiven) -> Answer:
    """Sends this variant to the rest, before the figures decide or instead of them."""
    with call.effect() as session:
        campaign = hold(session, campaign_id)
        try:
            trials.decide(session, campaign_id, campaign_versions.VARIANTS.index(body.variant), now=call.now)
        except TrialError as error:
            if str(error) == "unknown":
                raise wrong("variant", _("There is no such version.")) from None
            raise Problem(409, _("There is no test whose winner is open."), code="no-trial") from None
        session.refresh(campaign)
        call.audit(session, "campaign.winner", campaign_id, winner=body.variant)
        call.then_ring(lambda: jobs.release(call.ground, campaign_id))
        return call.say(200, _shown(session, campaign))
