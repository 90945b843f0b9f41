"""/demo/inbox, only in `kairan demo`: the mails that really went over SMTP, as a member would see them. Their links and beacons count."""

import os
from datetime import UTC, datetime
from pathlib import Path

from flask import Blueprint, abort, make_response, render_template, request
from werkzeug.wrappers import Response

from mailer.demo_mail import FOLDER, Mail, names, newest, read
from mailer.web import edge

blueprint = Blueprint("demo_inbox", __name__)
PAGE = 50
# Like a mail program: pictures load (so the beacon counts), links open outside the frame, no script ever.
SHOWN_CSP = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)


def _folder() -> Path:
    found = os.environ.get(FOLDER)
    if not found:
        abort(404)
    return Path(found)


def _mail(name: str) -> Mail:
    return read(_folder(), name) or abort(404)


@blueprint.app_template_filter("from_timestamp")
def from_timestamp(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@blueprint.get("/demo/inbox")
@edge.allowed("home.view")
def inbox() -> str:
    folder, after = _folder(), request.args.get("after")
    mails = list(newest(folder, PAGE + 1, after))
    return render_template(
        "admin/inbox.html", mails=mails[:PAGE], more=mails[PAGE - 1].name if len(mails) > PAGE else None, total=len(names(folder))
    )


@blueprint.get("/demo/inbox/<name>")
@edge.allowed("home.view")
def show(name: str) -> str:
    mail = _mail(name)
    headers = [(key, str(value)) for key, value in mail.message.items()]
    return render_template("admin/inbox_mail.html", mail=mail, headers=headers, source=mail.raw.decode("utf-8", "replace"))


@blueprint.get("/demo/inbox/<name>/html")
@edge.allowed("home.view")
def rendered(name: str) -> Response:
    html = _mail(name).html
    if html is None:
        abort(404)
    answer = make_response(html.replace("<head>", '<head><base target="_blank">', 1))
    answer.headers["Content-Security-Policy"] = SHOWN_CSP.replace("base-uri 'none'", "base-uri 'self'")
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer
