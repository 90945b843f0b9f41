"""The three steps of a campaign: recipients, content, review. Each saves by itself and can be left and entered at will."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from flask import Blueprint, abort, jsonify, render_template, request
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan import i18n, walltime
from kairan.i18n import gettext as _
from kairan.models.audience import Attribute, List, Purpose, Recording, Subscription
from kairan.models.campaigns import Campaign, CampaignStatus, Revision
from kairan.sql import TookTooLong, within
from mailer.audience import segments, selection
from mailer.audience.segments import UnknownSegment
from mailer.campaigns import approval, compilation, library, lifecycle, preflight, revisions, series, trials
from mailer.campaigns import versions as campaign_versions
from mailer.web import campaign_labels, composer, edge, previews, sending, versions, when
from mailer.web.forms import Form

blueprint = Blueprint("campaign_steps", __name__)
FIELDS = ("first_name", "last_name", "email", "locale")
CONTENT_MAX = 1_000_000
EDITABLE = (CampaignStatus.DRAFT, CampaignStatus.PAUSED)


def find(session: Session, campaign_id: int) -> Campaign:
    return session.get(Campaign, campaign_id) or abort(404)


UTM = ("source", "medium", "campaign")

# ---- recipients


@blueprint.get("/campaigns/<int:campaign_id>/recipients")
@edge.allowed("campaign.view")
def recipients(campaign_id: int) -> str:
    return _recipients(campaign_id, None)


@blueprint.post("/campaigns/<int:campaign_id>/recipients")
@edge.allowed("campaign.edit")
def save_recipients(campaign_id: int) -> edge.Answer:
    form = Form(request.form)
    name = form.text("name", _("Name"))
    recording = form.choice("recording", _("What is recorded"), list(Recording))
    utm = {part: form.text(f"utm_{part}", f"utm_{part}", required=False, max_length=100) for part in UTM}
    campaign_labels.read(form)
    if not form.is_right:
        return (jsonify(errors=form.errors), 422) if edge.wants_json() else (_recipients(campaign_id, form), 422)
    excluded = form.ids("exclude")
    with edge.writing() as session:
        campaign = find(session, campaign_id)
        reach = replace(
            lifecycle.reach_of(session, campaign),
            lists=tuple(number for number in form.ids("lists") if number not in excluded),
            excluded=tuple(excluded),
            recording=recording,
            segment=next(iter(form.ids("segment")), None),
            excluded_segments=tuple(form.ids("exclude_segments")),
        )
        if form.raw("links") == "said":  # an unticked box says nothing by itself
            on = request.form.getlist("record")
            given = {part: value for part, value in utm.items() if value}
            reach = replace(reach, record_opens="opens" in on, record_clicks="clicks" in on, utm=given or None)
        try:
            lifecycle.set_reach(session, campaign, reach, now=edge.now())
        except revisions.NotEditable:
            abort(409)
        except (lifecycle.UnknownList, UnknownSegment):
            abort(404)
        campaign.name = name
        campaign_labels.put(session, campaign, form)
    if edge.wants_json():
        return jsonify(saved=True)
    return edge.back_to(f"/campaigns/{campaign_id}/{'content' if form.raw('go') == 'on' else 'recipients'}")


@blueprint.get("/campaigns/<int:campaign_id>/recipients/count")
@edge.allowed("campaign.view")
def count(campaign_id: int) -> str:
    """The part of the page that says how many get the mail, and why others do not."""
    with edge.reading() as session:
        campaign = find(session, campaign_id)
        return render_template("admin/_reach.html", campaign=campaign, **_counted(session, campaign_id))


def _counted(session: Session, campaign_id: int) -> dict[str, Any]:
    """`reached` is None where counting would keep the page waiting; asked with `?patient`, it may take longer."""
    is_patient = "patient" in request.args
    try:
        with within(session, segments.PATIENT_S if is_patient else segments.AT_ONCE_S):
            reached, left_out = selection.count(session, campaign_id, edge.now())
    except TookTooLong:
        return {"reached": None, "left_out": {}, "is_patient": is_patient}
    return {"reached": reached, "left_out": left_out, "is_patient": is_patient}


def _recipients(campaign_id: int, form: Form | None) -> str:
    with edge.reading() as session:
        campaign = find(session, campaign_id)
        reach = lifecycle.reach_of(session, campaign)
        return render_template(
            "admin/campaign_recipients.html",
            campaign=campaign,
            form=form,
            reach=reach,
            lists=lists_with_numbers(session),
            **campaign_labels.shown(session, campaign),
            segments=segments.choices(session),
            **_counted(session, campaign_id),
            ready=ready(session, campaign),
            editable=campaign.status == CampaignStatus.DRAFT and edge.can("campaign.edit"),
        )


def lists_with_numbers(session: Session) -> Sequence[Any]:
    """(list, purpose's name, members in it now), by name."""
    members = (
        select(Subscription.list_id, func.count().label("number"))
        .where(Subscription.ended_at.is_(None))
        .group_by(Subscription.list_id)
        .subquery()
    )
    return list(
        session.execute(
            select(List, Purpose.name.label("purpose"), func.coalesce(members.c.number, 0).label("number"))
            .join(Purpose, Purpose.id == List.purpose_id)
            .outerjoin(members, members.c.list_id == List.id)
            .where(List.archived_at.is_(None))
            .order_by(List.name)
        )
    )


def ready(session: Session, campaign: Campaign) -> set[str]:
    """The steps that need nothing more."""
    revision = revisions.current(session, campaign)
    done = set()
    if lifecycle.reach_of(session, campaign).lists:
        done.add("recipients")
    if revision.subject and revision.from_email and revision.content.strip():
        done.add("content")
    return done


# ---- content


@blueprint.get("/campaigns/<int:campaign_id>/content")
@edge.allowed("campaign.view")
def content(campaign_id: int) -> str:
    with edge.reading() as session:
        campaign = find(session, campaign_id)
        return _content(session, campaign, None)


@blueprint.post("/campaigns/<int:campaign_id>/content")
@edge.allowed("campaign.edit")
def save_content(campaign_id: int) -> edge.Answer:
    form = Form(request.form)
    with edge.reading() as session:
        held = revisions.content_of(revisions.current(session, find(session, campaign_id)))
    version = versions.asked(held)
    changes, base = read_content(form, campaign_versions.effective(held, version).content), form.raw("base")
    if not form.is_right:
        return _wrong_content(campaign_id, form)
    with edge.writing() as session:
        campaign = find(session, campaign_id)
        try:
            saved = _save(session, campaign_id, version, int(base), changes)
            if form.raw("then"):
                session.refresh(campaign)
                version = versions.change(session, campaign, form.raw("then"), version)
                return edge.back_to(_content_page(campaign_id, version), _("Saved."))
        except revisions.RevisionConflict as conflict:
            theirs = conflict.theirs
        except revisions.NotEditable:
            abort(409)
        else:
            return _saved(campaign_id, form, saved.number, version)
    if edge.wants_json():
        return jsonify(conflict=True, revision=theirs.number), 409
    return _both_versions(campaign_id, form, theirs, version), 409


def _save(session: Session, campaign_id: int, version: str, base: int, changes: dict[str, object]) -> Revision:
    """Raises RevisionConflict, NotEditable."""
    try:
        return revisions.save_change(
            session,
            campaign_id,
            base,
            lambda content: campaign_versions.changed(content, version, changes),
            now=edge.now(),
            by=edge.signed_in().id,
        )
    except campaign_versions.VersionError:
        abort(409)  # somebody removed it in between


def _content_page(campaign_id: int, version: str) -> str:
    return f"/campaigns/{campaign_id}/content" + (f"?version={version}" if version != campaign_versions.MAIN else "")


@blueprint.post("/campaigns/<int:campaign_id>/content/as-html")
@edge.allowed("campaign.edit")
def as_html(campaign_id: int) -> Response:
    """The saved mail of blocks, MJML or Markdown as HTML from now on: a new revision, the old one stays where it was."""
    with edge.writing() as session:
        campaign = find(session, campaign_id)
        held = revisions.content_of(revisions.current(session, campaign))
        version = versions.asked(held)
        said = campaign_versions.effective(held, version)
        page = _content_page(campaign_id, version)
        html, fault = compilation.html_of(said.kind, said.content, edge.runtime().settings.base_url, said.subject, library.shared(session))
        if html is None or fault is not None:
            return edge.back_to(page, _("This content cannot be turned into HTML."), "warn")
        try:
            _save(session, campaign_id, version, campaign.revision, {"kind": "html", "content": html})
        except (revisions.RevisionConflict, revisions.NotEditable):
            abort(409)
    return edge.back_to(page, _("The mail is HTML now."))


def read_content(form: Form, before: str = "") -> dict[str, object]:
    """What the form says, as fields of a revision. A draft may be unfinished, so only impossible values are errors. `before`: the content
    that was saved last."""
    kind = form.choice("kind", _("Kind"), revisions.KINDS)
    changes: dict[str, object] = {
        "subject": form.text("subject", _("Subject"), required=False, max_length=500),
        "preheader": form.text("preheader", _("Preheader"), required=False, max_length=500),
        "from_name": form.text("from_name", _("Sender name"), required=False),
        "from_email": form.email("from_email", _("Sender address"), required=False),
        "reply_to": form.email("reply_to", _("Reply address"), required=False) or None,
        "kind": kind,
        "content": form.values.get("content", "").replace("\r\n", "\n"),
        "text": form.values.get("text", "").replace("\r\n", "\n").strip() or None,
    }
    if len(str(changes["content"])) > CONTENT_MAX:
        form.wrong("content", _("The content is longer than %(count)s characters.", count=CONTENT_MAX))
    elif kind == "document":
        changes["content"] = composer.read(form, str(changes["content"]), before)
    if not form.raw("base").isdigit():
        form.wrong("base", _("Load this page again."))
    return changes


def _saved(campaign_id: int, form: Form, number: int, version: str) -> Response:
    if edge.wants_json():
        return jsonify(saved=True, revision=number)
    if form.raw("go") == "on":
        return edge.back_to(f"/campaigns/{campaign_id}/review")
    return edge.back_to(_content_page(campaign_id, version), _("Saved."))


def _wrong_content(campaign_id: int, form: Form) -> edge.Answer:
    if edge.wants_json():
        return jsonify(errors=form.errors), 422
    with edge.reading() as session:
        campaign = find(session, campaign_id)
        return _content(session, campaign, form), 422


def _content(session: Session, campaign: Campaign, form: Form | None) -> str:
    revision = revisions.current(session, campaign)
    held = revisions.content_of(revision)
    version = versions.asked(held)
    said = campaign_versions.effective(held, version)
    return render_template(
        "admin/campaign_content.html",
        campaign=campaign,
        revision=revision,
        form=form or Form(None, base=revision.number, **asdict(said)),
        version=version,
        versions=versions.names(held),
        to_add=versions.to_add(held) if campaign.status == CampaignStatus.DRAFT else [],
        can_go=campaign.status == CampaignStatus.DRAFT and versions.can_go(held, version),
        follows=campaign_versions.follows_content(held, version),
        page=_content_page(campaign.id, version),
        merge_fields=merge_fields(session),
        views=previews.views(),
        composer_words=composer.words(session) if said.kind == "document" else None,
        ready=ready(session, campaign),
        editable=campaign.status in EDITABLE and edge.can("campaign.edit"),
    )


def merge_fields(session: Session) -> list[tuple[str, str]]:
    """(what is inserted, what it is called)."""
    labels = {"first_name": _("First name"), "last_name": _("Last name"), "email": _("E-mail address"), "locale": _("Language")}
    fallback = _("member")
    built_in = [(f'{{{{ member.{name} | default: "{fallback}" }}}}', labels[name]) for name in FIELDS]
    own = session.scalars(select(Attribute).order_by(Attribute.name))
    named = [(f'{{{{ member.{row.name} | default: "" }}}}', row.label_ja or row.label_en or row.name) for row in own]
    return [*built_in, *named, ("{{ unsubscribe_url }}", _("Unsubscribe link"))]


def _both_versions(campaign_id: int, form: Form, theirs: Revision, version: str) -> str:
    from kairan.models.accounts import Account

    with edge.reading() as session:
        campaign = find(session, campaign_id)
        author = session.get(Account, theirs.saved_by) if theirs.saved_by else None
    held = revisions.content_of(theirs)
    version = version if campaign_versions.has(held, version) else campaign_versions.MAIN
    return render_template(
        "admin/campaign_conflict.html",
        campaign=campaign,
        form=form,
        theirs=theirs,
        said=campaign_versions.effective(held, version),
        author=author,
        page=_content_page(campaign_id, version),
    )


# ---- review


@blueprint.get("/campaigns/<int:campaign_id>/review")
@edge.allowed("campaign.view")
def review(campaign_id: int) -> str:
    return show_review(campaign_id, None)


def show_review(campaign_id: int, form: Form | None) -> str:
    with edge.reading() as session:
        campaign = find(session, campaign_id)
        findings = preflight.check(session, campaign_id, edge.runtime().settings, now=edge.now())
        reached, left_out = selection.count(session, campaign_id, edge.now())
        wanted = request.args.get("as", "").strip()
        member = previews.asked_for(session, wanted)
        held_revision = revisions.current(session, campaign)
        held = revisions.content_of(held_revision)
        version = versions.asked(held)
        subject, preheader = previews.inbox_line(session, campaign, member.id if member else None, version)
        return render_template(
            "admin/campaign_review.html",
            campaign=campaign,
            subject=subject,
            preheader=preheader,
            revision=campaign_versions.effective(held, version),
            version=version,
            versions=versions.names(held),
            variants=campaign_versions.variants(held),
            trial=trials.of(campaign),
            approval=approval.of(campaign),
            approved=approval.stands(session, campaign),
            needs_approval=approval.needed(session, reached),
            wrote_it=held_revision.saved_by == edge.signed_in().id,
            trial_shares=[(share, i18n.percent(share / 100, 0)) for share in versions.SHARES],
            form=form,
            findings=findings,
            stopped=preflight.has_errors(findings),
            where=where,
            reached=reached,
            left_out=left_out,
            ready=ready(session, campaign),
            tests=sending.recent_tests(session, campaign_id),
            when=when,
            zones=walltime.zones(),
            zone=edge.zone().key,
            series=series.of(session, campaign),
            view=request.args.get("view") if request.args.get("view") in previews.VIEWS else "desktop",
            views=previews.views(),
            wanted=wanted,
            member=member,
        )


def where(campaign_id: int, place: str) -> str:
    """The page and field that a finding speaks of; `subject@b` is that of a version."""
    place, _at, version = place.partition("@")
    if place.startswith("recipients"):
        return f"/campaigns/{campaign_id}/recipients"
    if place.startswith("settings"):
        return "/settings"
    if place == "review":
        return f"/campaigns/{campaign_id}/review#when"
    if place in ("versions", "approval"):
        return f"/campaigns/{campaign_id}/review#{place}"
    return f"{_content_page(campaign_id, version or campaign_versions.MAIN)}#{place.split(':', 1)[0] or 'content'}"
