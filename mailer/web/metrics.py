"""/metrics for a monitor: with the token of KAIRAN_METRICS_TOKEN, else from this machine alone. Never on the public side."""

import hmac
from urllib.parse import urlsplit

from flask import Blueprint, request
from werkzeug.wrappers import Response

from kairan.settings import is_loopback
from mailer.campaigns import metrics
from mailer.web import edge

blueprint = Blueprint("metrics", __name__)
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


@blueprint.get("/metrics")
@edge.anyone
def show() -> Response:
    if not _may():
        token = edge.runtime().settings.metrics_token
        headers = {"WWW-Authenticate": 'Bearer realm="metrics"'} if token else {}
        return Response("", 401 if token else 404, headers, content_type="text/plain; charset=utf-8")
    return Response(metrics.page(edge.runtime(), edge.now()), content_type=metrics.CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def _may() -> bool:
    token = edge.runtime().settings.metrics_token
    if token:
        given = request.headers.get("Authorization", "").encode()
        return hmac.compare_digest(given, f"Bearer {token}".encode())
    return _is_direct() and is_loopback(request.remote_addr)


def _is_direct() -> bool:
    """Behind a proxy on this machine everybody looks local. One that we are told of adds a header; one that we are not told of may
    add none, so where our links lead elsewhere than to this machine being local proves nothing."""
    settings = edge.runtime().settings
    tells = settings.proxy_hops > 0 or is_loopback(urlsplit(settings.base_url).hostname)
    return tells and not any(name in request.headers for name in FORWARDED)
