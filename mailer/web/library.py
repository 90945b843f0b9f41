"""Templates of one's own, saved sections, and the brand with a preview of what it changes."""

from dataclasses import asdict, replace
from typing import Any

from flask import Blueprint, abort, jsonify, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan import i18n, installation
from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign
from kairan.models.library import Template
from kairan.models.media import Medium
from mailer.campaigns import compilation, library
from mailer.compose import brand as brands
from mailer.compose import document, starters
from mailer.compose.brand import Brand
from mailer.compose.document import NETWORKS
from mailer.compose.findings import ContentError
from mailer.compose.footer import Organisation
from mailer.compose.recipient import Recipient
from mailer.compose.source import Source
from mailer.media import pictures
from mailer.web import edge, previews
from mailer.web.forms import Form

blueprint = Blueprint("library", __name__)
LOGOS = 12
UPLOAD_MAX_BYTES = pictures.BYTES_MAX + 64 * 1024
SECTION_MAX_BYTES = 1024 * 1024
SAMPLE = "newsletter"
"""the mail that the brand is shown on"""


# ---- templates


@blueprint.get("/templates")
@edge.allowed("campaign.view")
def index() -> str:
    with edge.reading() as session:
        rows = library.templates(session)
    return render_template("admin/templates.html", rows=rows, starters=starters.BLOCKS, tab="templates")


@blueprint.get("/templates/<int:template_id>/preview")
@edge.allowed("campaign.view")
def preview(template_id: int) -> Response:
    with edge.reading() as session:
        row = session.get(Template, template_id) or abort(404)
        return _shown(_source(session, row.kind, row.content, row.subject, library.brand(session)))


@blueprint.get("/templates/starters/<name>/preview")
@edge.allowed("campaign.view")
def starter(name: str) -> Response:
    if name not in starters.BLOCKS:
        abort(404)
    with edge.reading() as session:
        begun = starters.start(name, installation.get(session, "organisation").get("name", ""))
        return _shown(_source(session, begun.kind, begun.content, begun.subject, library.brand(session)))


@blueprint.post("/campaigns/<int:campaign_id>/template")
@edge.allowed("campaign.edit")
def save(campaign_id: int) -> Response:
    """The campaign's content as a template."""
    form = Form(request.form)
    name = form.text("name", _("Name"))
    then = f"/campaigns/{campaign_id}/content"
    if not form.is_right:
        return edge.back_to(then, form.errors["name"], "bad")
    with edge.writing() as session:
        campaign = session.get(Campaign, campaign_id) or abort(404)
        try:
            row = library.save_template(session, campaign, name, now=edge.now(), by=edge.signed_in().id, over=form.yes("over"))
        except library.NameTaken:
            return edge.back_to(
                then, _("There is a template “%(name)s” already: choose another name, or tick “replace it”.", name=name), "bad"
            )
        edge.audit(session, "template.save", row.id, campaign=campaign_id)
    return edge.back_to("/templates", _("“%(name)s” is a template now.", name=name))


@blueprint.post("/templates/<int:template_id>/delete")
@edge.allowed("campaign.edit")
def delete(template_id: int) -> Response:
    with edge.writing() as session:
        row = session.get(Template, template_id) or abort(404)
        edge.audit(session, "template.delete", row.id)
        session.delete(row)
    return edge.back_to("/templates", _("Deleted. Campaigns made from it stay as they are."))


def _source(session: Session, kind: str, content: str, title: str, brand: Brand | None) -> Source:
    """A mail for nobody in particular, in the look of this brand."""
    base = edge.runtime().settings.base_url
    shared = replace(library.shared(session), brand=brand)
    said = installation.get(session, "organisation")
    html, fault = compilation.html_of(kind, content, base, title, shared)
    return Source(
        campaign_id=0, campaign_name=title, revision=0, subject=title or "–", preheader="", from_name="", from_email="", reply_to=None,
        html=html, text=content if kind == "text" else None, record_opens=False, record_clicks=False,
        organisation=Organisation(said["name"], said["address"], said["contact"], brand), base_url=base, list_id="", list_name="",
        unsubscribe_mailto=None, message_domain="", fault=fault, shared=shared,
    )  # fmt: skip


def _shown(source: Source) -> Response:
    names = ("花子", "佐藤") if i18n.language() == "ja" else ("Hanako", "Sato")
    member = Recipient(0, 0, "hanako@example.org", *names, i18n.language(), {})
    return previews.rendered(source, member, "desktop" if source.has_html else "text")


# ---- saved sections


@blueprint.get("/templates/sections")
@edge.allowed("campaign.view")
def sections() -> str:
    with edge.reading() as session:
        rows = [(row, library.section_users(session, row.id)) for row in library.sections(session)]
    return render_template("admin/sections.html", rows=rows, tab="sections")


@blueprint.get("/templates/sections/<int:section_id>/preview")
@edge.allowed("campaign.view")
def section_preview(section_id: int) -> Response:
    with edge.reading() as session:
        held = library.shared(session).sections.get(section_id) or abort(404)
        return _shown(_source(session, "document", starters.around(held), "–", library.brand(session)))


@blueprint.post("/templates/sections")
@edge.allowed("campaign.edit", max_bytes=SECTION_MAX_BYTES)
def save_section() -> edge.Answer:
    """From the editor: a section under a name. 409: the name is there, and `over` was not said."""
    form = Form(request.form)
    name = form.text("name", _("Name"))
    if not form.is_right:
        return jsonify(error=form.errors["name"]), 422
    with edge.writing() as session:
        if len(library.sections(session)) >= library.SECTIONS_MAX:
            return jsonify(error=_("There are %(count)s saved sections: delete some first.", count=library.SECTIONS_MAX)), 422
        try:
            row = library.save_section(
                session, name, document.parsed(form.values.get("section", "")), now=edge.now(), over=form.yes("over")
            )
        except ContentError as error:
            return jsonify(error=error.message), 422
        except library.NameTaken:
            return jsonify(taken=True, error=_("There is a section of this name already.")), 409
        edge.audit(session, "section.save", row.id)
        return jsonify(id=row.id, name=row.name), 201


@blueprint.post("/templates/sections/<int:section_id>/delete")
@edge.allowed("campaign.edit")
def delete_section(section_id: int) -> Response:
    with edge.writing() as session:
        try:
            library.delete_section(session, section_id)
        except library.StillUsed as error:
            names = ", ".join(error.names)
            return edge.back_to("/templates/sections", _("It is in campaigns that are yet to be sent: %(names)s.", names=names), "warn")
        edge.audit(session, "section.delete", section_id)
    return edge.back_to("/templates/sections", _("Deleted."))


# ---- the brand


@blueprint.get("/templates/brand")
@edge.allowed("campaign.view")
def brand() -> str:
    with edge.reading() as session:
        held = library.brand(session)
    return _brand(Form(None, **_fields(held or Brand())), held)


def _fields(held: Brand) -> dict[str, Any]:
    social = {f"social_{link['network']}": link["href"] for link in held.social}
    return {**asdict(held), **social}


def _brand(form: Form, held: Brand | None) -> str:
    with edge.reading() as session:
        newest = session.execute(select(Medium.hash, Medium.extension, Medium.name).order_by(Medium.id.desc()).limit(LOGOS)).all()
        followers = library.followers(session)
    logos = [(f"/m/{row.hash}.{row.extension}", row.name) for row in newest]
    if form.raw("logo") and form.raw("logo") not in {src for src, _name in logos}:
        logos.insert(0, (form.raw("logo"), _("The logo now")))
    return render_template(
        "admin/brand.html",
        form=form,
        logos=logos,
        networks={**NETWORKS, "web": _("Web site")},
        fonts={"sans": _("Plain"), "serif": _("Serif"), "rounded": _("Rounded")},
        colours=_colour_names(),
        hard=[(_pair(behind, before), ratio) for behind, before, ratio in brands.hard_to_read(held or Brand())],
        followers=followers,
        editable=edge.can("campaign.edit"),
        tab="brand",
    )


def _colour_names() -> dict[str, str]:
    return {
        "background": _("Around the mail"), "content": _("Mail"), "text": _("Text"), "heading": _("Headlines"), "link": _("Links"),
        "button": _("Buttons"), "buttonText": _("Words of buttons"),
    }  # fmt: skip


def _pair(behind: str, before: str) -> str:
    names = _colour_names()
    return _("%(before)s on %(behind)s", before=names[before], behind=names[behind])


@blueprint.post("/templates/brand")
@edge.allowed("campaign.edit", max_bytes=UPLOAD_MAX_BYTES)
def save_brand() -> edge.Answer:
    form = Form(request.form)
    file = request.files.get("file")
    try:
        given = _given(form)
        if file is not None and file.filename:
            with edge.writing() as session:
                row = pictures.store(session, file.read(), name=file.filename, alt=given.logo_alt, now=edge.now())
                given = replace(given, logo=f"/m/{row.hash}.{row.extension}")
    except ContentError as error:
        form.wrong(error.where, error.message)
        return _brand(form, None), 422
    except pictures.NotAPicture as error:
        form.wrong("file", str(error))
        return _brand(form, None), 422
    with edge.writing() as session:
        library.keep_brand(session, given, now=edge.now())
        edge.audit(session, "brand.save")
    return edge.back_to("/templates/brand", _("Saved. Mails of blocks that follow the brand look like this from now on."))


@blueprint.post("/templates/brand/preview")
@edge.allowed("campaign.view", max_bytes=UPLOAD_MAX_BYTES)
def brand_preview() -> Response:
    """The sample mail in what is typed; GET in what is kept."""
    try:
        given = _given(Form(request.form))
    except ContentError:
        given = Brand()
    return _sample(given)


@blueprint.get("/templates/brand/preview")
@edge.allowed("campaign.view")
def kept_preview() -> Response:
    with edge.reading() as session:
        held = library.brand(session)
    return _sample(held or Brand())


def _sample(given: Brand) -> Response:
    with edge.reading() as session:
        begun = starters.start(SAMPLE, installation.get(session, "organisation").get("name", ""))
        return _shown(_source(session, "document", starters.with_logo(begun.content), begun.subject, given))


def _given(form: Form) -> Brand:
    """Raises ContentError."""
    radius = form.raw("radius")
    social = [{"network": name, "href": form.raw(f"social_{name}")} for name in NETWORKS if form.raw(f"social_{name}")]
    given: dict[str, Any] = {name: form.raw(name) for name in (*brands.COLOURS, "font", "logo", "logo_alt", "logo_href")}
    words = {name: form.values.get(name, "").strip() for name in ("footer_en", "footer_ja")}
    return brands.checked({**given, **words, "radius": int(radius) if radius.isdigit() and len(radius) < 3 else 6, "social": social})
