"""What a campaign says, as callers give it and get it back: of five kinds of content one."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

from kairan.i18n import gettext as _
from kairan.models.campaigns import Revision
from mailer.api.problems import wrong
from mailer.api.shapes import Given, Shown, _lf
from mailer.campaigns.revisions import Content
from mailer.compose import document, mjml_writer
from mailer.compose.findings import ContentError

CONTENT_MAX = 1_000_000
Source = Annotated[str, StringConstraints(max_length=CONTENT_MAX), AfterValidator(_lf)]


class ContentGiven(Given):
    """One of these. `document` is the block editor's (docs/composer.md), `markdown` CommonMark with tables."""

    html: Source | None = None
    text: Source | None = None
    mjml: Source | None = None
    document: dict[str, Any] | None = None
    markdown: Source | None = None


class ContentShown(Shown):
    """As it was given; of the five one is there."""

    html: str | None = None
    text: str | None = None
    mjml: str | None = None
    document: dict[str, Any] | None = None
    markdown: str | None = None


def as_fields(given: ContentGiven) -> dict[str, str]:
    """Kind and content as fields of a revision. Raises Problem."""
    said = given.model_dump(exclude_none=True)
    if len(said) != 1:
        raise wrong("content", _("Send one kind of content: html, text, mjml, document or markdown."))
    ((kind, content),) = said.items()
    try:
        if kind == "document":
            return {"kind": kind, "content": _kept_document(content)}
        if kind == "mjml":
            mjml_writer.checked(content)
    except ContentError as error:
        raise wrong(f"content/{kind}", error.message) from error
    return {"kind": kind, "content": content}


def as_given(revision: Revision | Content) -> ContentShown:
    shown: dict[str, Any] = {revision.kind: json.loads(revision.content) if revision.kind == "document" else revision.content}
    return ContentShown(**shown)


def _kept_document(given: dict[str, Any]) -> str:
    """A document as it is kept. Raises ContentError."""
    return json.dumps(document.checked(given), ensure_ascii=False)
