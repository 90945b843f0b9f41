"""Settings: what a person is told by mail, and the webhook that is told as well."""

from flask import Blueprint, abort, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan import safe_client, standard_webhooks, vault
from kairan.i18n import gettext as _
from kairan.models.alerts import AlertHook, AlertPost
from mailer.campaigns import alert_posts, alerts
from mailer.web import edge
from mailer.web.forms import Form

blueprint = Blueprint("alerts", __name__)
HERE = "/settings/alerts"


@blueprint.get(HERE)
@edge.allowed("own.change")
def show() -> str:
    return _page()


def _page(form: Form | None = None, new_secret: str = "") -> str:
    person = edge.signed_in()
    with edge.reading() as session:
        hook = _hook(session) if edge.can("settings.edit") else None
        return render_template(
            "admin/alerts.html",
            kinds=alerts.KINDS,
            choices=alerts.choices(session, person.id, person.role),
            hook=hook,
            last=_last(session, hook.id) if hook else None,
            form=form or Form(None, url=hook.url if hook else ""),
            hook_kinds=_chosen("hook_kind") if form else hook.kinds if hook else list(alerts.KINDS),
            new_secret=new_secret,
        )


@blueprint.post(HERE)
@edge.allowed("own.change")
def save() -> Response:
    person = edge.signed_in()
    with edge.writing() as session:
        alerts.choose(session, person.id, person.role, _chosen("kind"))
        edge.audit(session, "alerts.choose", person.id)
    return edge.back_to(HERE, _("Saved."))


# ---- the webhook


@blueprint.post(f"{HERE}/webhook")
@edge.allowed("settings.edit")
def save_hook() -> edge.Answer:
    form = Form(request.form)
    url = form.text("url", _("Address"), max_length=2_000)
    if form.is_right:
        _check(form, url)
    if not form.is_right:
        return _page(form), 422
    with edge.writing() as session:
        hook = _hook(session)
        secret = "" if hook else standard_webhooks.new_secret()
        if hook is None:
            hook = AlertHook(url=url, secret=b"", kinds=[], updated_at=edge.now())
            session.add(hook)
            session.flush()
            _seal(hook, secret)
        hook.url, hook.kinds, hook.enabled, hook.updated_at = url, _chosen("hook_kind"), True, edge.now()
        edge.audit(session, "alerts.webhook", hook.id, kinds=hook.kinds)
    return _page(new_secret=secret) if secret else edge.back_to(f"{HERE}#webhook", _("Saved."))


def _check(form: Form, url: str) -> None:
    try:
        safe_client.check(url, private=safe_client.allowed_networks(edge.runtime().settings.private_targets))
    except (safe_client.Refused, safe_client.Unreachable) as problem:
        form.wrong("url", _("This address cannot be used: %(reason)s", reason=problem))


def _seal(hook: AlertHook, secret: str) -> None:
    hook.secret = vault.of(edge.runtime().secrets).seal(secret.encode(), alert_posts.place_of_secret(hook.id))


@blueprint.post(f"{HERE}/webhook/secret")
@edge.allowed("settings.edit")
def renew_secret() -> str:
    secret = standard_webhooks.new_secret()
    with edge.writing() as session:
        hook = _hook(session) or abort(404)
        _seal(hook, secret)
        hook.updated_at = edge.now()
        edge.audit(session, "alerts.webhook_secret", hook.id)
    return _page(new_secret=secret)


@blueprint.post(f"{HERE}/webhook/test")
@edge.allowed("settings.edit")
def test_hook() -> Response:
    ground = edge.runtime()
    with edge.writing() as session:
        hook = _hook(session) or abort(404)
        post = alerts.put_post(session, hook.id, "test", {}, ground.settings.base_url, edge.now())
        post.lease_until = edge.now() + alert_posts.LEASE  # tried here and now, by nobody else
        edge.audit(session, "alerts.webhook_test", hook.id)
    status, said = alert_posts.attempt(ground, hook, post)
    good = status is not None and 200 <= status < 300
    with edge.writing() as session:
        session.delete(session.get_one(AlertPost, post.id))
    message = _("It answered %(status)s.", status=status) if status is not None else _("It cannot be reached: %(reason)s", reason=said)
    return edge.back_to(f"{HERE}#webhook", message, "ok" if good else "bad")


@blueprint.post(f"{HERE}/webhook/delete")
@edge.allowed("settings.edit")
def delete_hook() -> Response:
    with edge.writing() as session:
        hook = _hook(session) or abort(404)
        edge.audit(session, "alerts.webhook_delete", hook.id)
        session.delete(hook)
    return edge.back_to(HERE, _("Deleted."))


def _chosen(name: str) -> list[str]:
    return [kind for kind in request.form.getlist(name) if kind in alerts.KINDS]


def _hook(session: Session) -> AlertHook | None:
    return session.scalars(select(AlertHook).order_by(AlertHook.id).limit(1)).one_or_none()


def _last(session: Session, hook_id: int) -> AlertPost | None:
    return session.scalars(select(AlertPost).where(AlertPost.hook_id == hook_id).order_by(AlertPost.id.desc()).limit(1)).one_or_none()
