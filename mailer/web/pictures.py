"""The library of pictures: uploaded, described, found again, and where each is used."""

from flask import Blueprint, abort, jsonify, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan.i18n import gettext as _
from kairan.models.campaigns import Campaign, Revision
from kairan.models.media import Medium
from mailer.media import pictures
from mailer.web import edge, paging
from mailer.web.forms import Form

blueprint = Blueprint("pictures", __name__)
LISTED = 200
UPLOAD_MAX_BYTES = pictures.BYTES_MAX + 64 * 1024
_COLUMNS = (Medium.id, Medium.hash, Medium.extension, Medium.width, Medium.height, Medium.name, Medium.alt, Medium.created_at)
"""without the bytes"""


@blueprint.get("/media")
@edge.allowed("media.edit")
def show_list() -> str:
    return _page()


def _page(said: str = "") -> str:
    with edge.reading() as session:
        query = select(*_COLUMNS).order_by(Medium.id.desc()).limit(paging.SIZE + 1)
        if after := paging.after():
            query = query.where(Medium.id < after)
        page = paging.page(list(session.execute(query)), lambda row: row.id)
        used = {row.id: _used(session, row) for row in page.rows}
    return render_template("admin/media.html", page=page, used=used, said=said)


@blueprint.get("/media/list")
@edge.allowed("media.edit")
def items() -> Response:
    """For the editor: the newest."""
    with edge.reading() as session:
        rows = session.execute(select(*_COLUMNS).order_by(Medium.id.desc()).limit(LISTED)).all()
    return jsonify(items=[_item(row) for row in rows])


@blueprint.post("/media")
@edge.allowed("media.edit", max_bytes=UPLOAD_MAX_BYTES)
def upload() -> edge.Answer:
    """From the editor (JSON) or the page's own form."""
    file = request.files.get("file")
    try:
        if file is None or not file.filename:
            raise pictures.NotAPicture(_("Choose a file."))
        data = file.read()
        with edge.writing() as session:
            row = pictures.store(session, data, name=file.filename, alt="", now=edge.now())
            edge.audit(session, "media.add", row.id)
            made = _item(row)
    except pictures.NotAPicture as error:
        return (jsonify(error=str(error)), 422) if edge.wants_json() else (_page(str(error)), 422)
    return (jsonify(made), 201) if edge.wants_json() else edge.back_to("/media", _("The picture is in the library."))


def _item(row: object) -> dict[str, object]:
    src = f"/m/{row.hash}.{row.extension}"  # type: ignore[attr-defined]
    return {name: getattr(row, name) for name in ("id", "width", "height", "name", "alt")} | {"src": src}


@blueprint.post("/media/<int:medium_id>")
@edge.allowed("media.edit")
def describe(medium_id: int) -> Response:
    form = Form(request.form)
    alt = form.text("alt", _("Text instead of the picture"), required=False, max_length=500)
    with edge.writing() as session:
        (session.get(Medium, medium_id) or abort(404)).alt = alt
    return edge.back_to("/media", _("Saved."))


@blueprint.post("/media/<int:medium_id>/delete")
@edge.allowed("media.edit")
def delete(medium_id: int) -> Response:
    """Only what no campaign has ever said: mails that are out point at it for ever."""
    with edge.writing() as session:
        row = session.get(Medium, medium_id) or abort(404)
        if _used(session, row):
            return edge.back_to("/media", _("This picture is in a mail: it stays."), "warn")
        edge.audit(session, "media.delete", row.id)
        session.delete(row)
    return edge.back_to("/media", _("Deleted."))


def _used(session: Session, row: object) -> list[tuple[int, str]]:
    """(campaign, its name) of those whose content, now or ever, holds the picture."""
    holds = Revision.content.contains(row.hash)  # type: ignore[attr-defined]
    found = select(Campaign.id, Campaign.name).join(Revision, Revision.campaign_id == Campaign.id).where(holds).distinct().limit(5)
    return [(number, name) for number, name in session.execute(found)]
