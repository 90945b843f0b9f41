"""Pictures as mails point at them: /m/HASH.ext, immutable. The same answer to whatever is not there."""

import re

from flask import Blueprint, abort, make_response
from werkzeug.wrappers import Response

from mailer.media import pictures
from mailer.web import edge

blueprint = Blueprint("media", __name__)
_NAME = re.compile(r"([0-9a-f]{64})\.(png|jpg|gif)")


@blueprint.get("/m/<name>")
@edge.anyone
def picture(name: str) -> Response:
    parts = _NAME.fullmatch(name)
    if parts is None:
        abort(404)
    with edge.reading() as session:
        data = pictures.find(session, *parts.groups())
    if data is None:
        abort(404)
    answer = make_response(data)
    answer.headers["Content-Type"] = pictures.TYPES[parts.group(2)]
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"  # mail programs and web mailers show it on their own pages
    return answer
