"""The web application: for members (public), for people who work with it (admin), or both in one process."""

import importlib
from typing import Any

from flask import Flask, get_flashed_messages, request
from werkzeug.middleware.proxy_fix import ProxyFix

from kairan import i18n, resources
from kairan import runtime as process
from kairan.runtime import Runtime
from mailer.accounts.authorize import may
from mailer.reports import click_targets
from mailer.web import assets, edge, errors, gatekeeper, navigation, paging, standing, words
from tracking import endpoint

PUBLIC = (
    "mailer.web.health",
    "unsubscribe.pages",
    "unsubscribe.preferences",
    "unsubscribe.proofs",
    "mailer.web.member_pages",
    "mailer.web.media",
    "mailer.web.site_beacon",
    "mailer.web.public_reports",
    "mailer.web.public_archive",
)
ADMIN = (
    "mailer.web.signin",
    "mailer.web.first_run",
    "mailer.web.home",
    "mailer.web.campaigns",
    "mailer.web.campaign_calendar",
    "mailer.web.campaign_series",
    "mailer.web.approvals",
    "mailer.web.campaign_steps",
    "mailer.web.campaign_labels",
    "mailer.web.pictures",
    "mailer.web.revision_history",
    "mailer.web.sending",
    "mailer.web.campaign_progress",
    "mailer.web.uncertain",
    "mailer.web.versions",
    "mailer.web.campaign_report",
    "mailer.web.reports_over",
    "mailer.web.sharing",
    "mailer.web.exports",
    "mailer.web.previews",
    "mailer.web.members",
    "mailer.web.library",
    "mailer.web.lists",
    "mailer.web.segments",
    "mailer.web.imports",
    "mailer.web.suppressions",
    "mailer.web.suppression_files",
    "mailer.web.settings",
    "mailer.web.sending_domains",
    "mailer.web.providers",
    "mailer.web.alerts",
    "mailer.web.webhooks",
    "mailer.web.tracking_settings",
    "mailer.web.metrics",
    "mailer.web.jobs",
    "mailer.web.search",
    "mailer.api.routes",
    "mailer.web.demo_inbox",
)
"""modules with a `blueprint`"""


def create_app(runtime: Runtime | None = None) -> Flask:
    """Everything in one process, as `kairan up` and `kairan demo` run it."""
    return _make(runtime, PUBLIC + ADMIN, tracked=True)


def create_public_app(runtime: Runtime | None = None) -> Flask:
    """What members and their mail programs reach: /u /p /v /c /o /m /b /r /archive /about/tracking. No sign-in, no cookie."""
    return _make(runtime, PUBLIC, tracked=True)


def create_member_pages(runtime: Runtime) -> Flask:
    """The same without /o and /c, for where those are answered already."""
    return _make(runtime, PUBLIC, tracked=False)


def create_admin_app(runtime: Runtime | None = None) -> Flask:
    """What the organisation's own people and programs reach."""
    return _make(runtime, ("mailer.web.health", *ADMIN), tracked=False)


def _make(runtime: Runtime | None, modules: tuple[str, ...], *, tracked: bool) -> Flask:
    if runtime is None:
        runtime = process.runtime()
    else:
        process.use(runtime)
    app = Flask("mailer", static_folder=str(resources.ROOT / "mailer/static"), template_folder=str(resources.path("templates/pages")))
    app.secret_key = runtime.secrets.session  # signs the flash messages; who is signed in is kept in the database
    app.config.update(
        SESSION_COOKIE_NAME="kairan_flash",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=runtime.settings.base_url.startswith("https:"),
        SEND_FILE_MAX_AGE_DEFAULT=None,
        TRAP_HTTP_EXCEPTIONS=False,
    )
    app.extensions["kairan"] = runtime
    gatekeeper.guard(app)
    errors.install(app)
    words.install(app)
    _install_template_words(app)
    for module in modules:
        _register(app, module)
    _wrap(app, runtime, tracked)
    return app


def _register(app: Flask, module: str) -> None:
    app.register_blueprint(importlib.import_module(module).blueprint)


def _wrap(app: Flask, runtime: Runtime, tracked: bool) -> None:
    """The tracking fast path first, which answers /o and /c before Flask sees them, then the trusted proxies."""
    hops = runtime.settings.proxy_hops
    inner: Any = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops) if hops else app.wsgi_app
    app.wsgi_app = with_tracking(inner, runtime) if tracked else inner  # type: ignore[method-assign]


def with_tracking(inner: Any, runtime: Runtime) -> endpoint.Endpoint:
    """Any WSGI application with /o and /c in front of it."""
    return endpoint.wrap(inner, runtime, click_targets.resolver(runtime))


def _install_template_words(app: Flask) -> None:
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(
        _=i18n.gettext,
        ngettext=i18n.ngettext,
        asset=assets.url,
        icon=assets.icon,
        csrf_token=gatekeeper.csrf_token,
        navigation=navigation.items,
        same_page=paging.same_page,
        flashes=lambda: get_flashed_messages(with_categories=True),
        going_out=standing.going_out,
        running_jobs=standing.running_jobs,
    )

    @app.context_processor
    def words_of_this_request() -> dict[str, Any]:
        found = edge.person()
        theme = found.theme if found else request.cookies.get("kairan_theme", "auto")
        return {
            "person": found,
            "may": lambda action, thing=None: may(found, action, thing),
            "language": i18n.language(),
            "theme": theme,
            "assets_built": assets.are_built(),
            "here": request.full_path.rstrip("?") if request.method == "GET" else request.path,
        }
