"""The website beacon: `/b/CODE.gif` and the script `/b/CODE.js` for pages of the organisation's own.

A view is always counted and never more than that, unless the page's visitor has accepted a cookie there and came by a link of their mail.
No cookie is set by us; a browser that says `Sec-GPC` or `DNT` is counted and joined to nobody.
"""

from datetime import UTC, datetime
from functools import cache
from typing import cast
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, current_app, request

from kairan.runtime import Runtime
from kairan.tokens import TokenError
from mailer.web import edge
from tracking import machines, visits
from tracking.endpoint import GIF
from tracking.sites import PARAMETER, Sites, hour

blueprint = Blueprint("site_beacon", __name__)

SCRIPT = """(function(d,n,l){var s=d.currentScript,b=s.src.replace(/\\.js.*/,".gif?p="),q=/[?&]%(name)s=([\\w-]{36})/,m=l.search.match(q),
x=n.globalPrivacyControl||n.doNotTrack=="1",r=/(?:^|; )kairan=([\\w-]{36})/;
function c(v,a){d.cookie="kairan="+v+";path=/;samesite=lax;max-age="+a+(l.protocol=="https:"?";secure":"")}
function t(){return(d.cookie.match(r)||[])[1]}
function h(v){new Image().src=b+encodeURIComponent(l.pathname)+(!x&&t()?"&k="+t():"")+v}
window.kairan={accept:function(){if(!x&&m&&!t()){c(m[1],86400);h("&v=0")}},refuse:function(){c("",0)}};if(x)c("",0);
if(m&&window.history.replaceState)history.replaceState(history.state,"",l.href.replace(q,function(f){return f[0]=="?"?"?":""}));
if("accepted"in s.dataset&&!x&&m)c(m[1],86400);h("")})(document,navigator,location)
"""
"""Less than 1 KB. `kairan.accept()` and `kairan.refuse()` are called by the site's own question about cookies; `data-accepted` on the
script says that it was answered yes before. The parameter leaves the address bar, so that nobody passes it on."""


@cache
def script() -> str:
    return (SCRIPT % {"name": PARAMETER}).replace("\n", "")


def _sites(runtime: Runtime) -> Sites:
    found = current_app.extensions.get("kairan_sites")
    if found is None:
        found = current_app.extensions["kairan_sites"] = Sites(runtime.database, runtime.secrets.tokens.visit)
    return cast(Sites, found)


@blueprint.get("/b/<code>.js")
@edge.anyone
def serve_script(code: str) -> Response:
    if _sites(edge.runtime()).by_code(code) is None:
        abort(404)
    answer = Response(script(), content_type="text/javascript; charset=utf-8")
    answer.headers["Cache-Control"] = "public, max-age=3600"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


@blueprint.get("/b/<code>.gif")
@edge.anyone
def view(code: str) -> Response:
    runtime = edge.runtime()
    site = _sites(runtime).by_code(code)
    if site is None:
        abort(404)
    if _is_of(site[1]) and not machines.of_agent(request.headers.get("User-Agent", "")).machine:
        campaign_id, number = _delivery(runtime)
        page = visits.page_of(request.args.get("p", "") or request.headers.get("Referer", ""))
        counts = request.args.get("v") != "0"
        if counts or number:
            visits.note(runtime.redis, site[0], page, datetime.now(UTC), counts=counts, campaign_id=campaign_id, number=number)
    answer = Response(GIF, content_type="image/gif")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


def _is_of(host: str) -> bool:
    """Whether the page is one of the site's, as far as the browser tells."""
    said = request.headers.get("Referer") or request.headers.get("Origin")
    return not said or (urlsplit(said).hostname or "").lower() == host


def _delivery(runtime: Runtime) -> tuple[int, int]:
    """(campaign, delivery) that the view may be joined by; zeros for none, forged, over, or not wanted."""
    if request.headers.get("Sec-GPC") == "1" or request.headers.get("DNT") == "1":
        return 0, 0
    try:
        found = runtime.secrets.tokens.read_visit(request.args.get("k", ""), hour())
    except TokenError:
        return 0, 0
    return found.campaign_id, found.number
