"""Settings: the programs that are told what happens, and each message to them, which may be sent again."""

from flask import Blueprint, abort, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from kairan import clock, safe_client
from kairan.i18n import gettext as _
from kairan.models.webhooks import Webhook, WebhookPost
from mailer.web import edge, paging
from mailer.web.forms import Form
from mailer.webhooks import jobs, posts, settings, words
from mailer.webhooks.settings import Refused, Wanted

blueprint = Blueprint("webhooks", __name__)
HERE = "/settings/webhooks"


@blueprint.get(HERE)
@edge.allowed("settings.edit")
def show_list() -> str:
    with edge.reading() as session:
        rows = [(row, jobs.counts(session, row.id)) for row in settings.all_of(session)]
    return render_template("admin/webhooks.html", rows=rows, kinds=words.KINDS)


@blueprint.get(f"{HERE}/new")
@edge.allowed("settings.edit")
def new() -> str:
    return _form(None, None)


@blueprint.get(f"{HERE}/<int:webhook_id>")
@edge.allowed("settings.edit")
def show(webhook_id: int) -> str:
    return _page(webhook_id)


def _page(webhook_id: int, form: Form | None = None, new_secret: str = "") -> str:
    state = request.args.get("state", "")
    with edge.reading() as session:
        hook = session.get(Webhook, webhook_id) or abort(404)
        query = select(WebhookPost).where(WebhookPost.webhook_id == webhook_id).order_by(WebhookPost.id.desc()).limit(paging.SIZE + 1)
        if state in ("queued", "sent", "failed"):
            query = query.where(WebhookPost.state == state)
        if after := paging.after():
            query = query.where(WebhookPost.id < after)
        page = paging.page(list(session.scalars(query)), lambda post: post.id)
        counts = jobs.counts(session, webhook_id)
    return _form(hook, form, new_secret, page=page, counts=counts, state=state)


def _form(hook: Webhook | None, form: Form | None, new_secret: str = "", **more: object) -> str:
    chosen = request.form.getlist("kind") if form else hook.kinds if hook else list(words.KINDS)
    given = form or Form(None, **({"url": hook.url, "purpose": hook.purpose, "recipient": hook.recipient} if hook else {}))
    addresses = bool(request.form.get("addresses")) if form else bool(hook and hook.addresses)
    return render_template(
        "admin/webhook.html", hook=hook, form=given, chosen=chosen, kinds=words.KINDS, addresses=addresses, new_secret=new_secret, **more
    )


@blueprint.post(f"{HERE}/new")
@edge.allowed("settings.edit")
def make() -> edge.Answer:
    form, wanted = _given()
    if form.is_right:
        try:
            with edge.writing() as session:
                hook, secret = settings.make(session, edge.runtime().secrets, wanted, actor=_actor(), now=edge.now())
                edge.audit(session, "webhook.make", hook.id, kinds=hook.kinds, addresses=hook.addresses)
        except Refused as refused:
            _say(form, refused)
        else:
            return _page(hook.id, new_secret=secret)
    return _form(None, form), 422


@blueprint.post(f"{HERE}/<int:webhook_id>")
@edge.allowed("settings.edit")
def change(webhook_id: int) -> edge.Answer:
    form, wanted = _given()
    if form.is_right:
        try:
            with edge.writing() as session:
                hook = session.get(Webhook, webhook_id) or abort(404)
                settings.change(session, hook, wanted, actor=_actor(), now=edge.now())
                edge.audit(session, "webhook.change", hook.id, kinds=hook.kinds, addresses=hook.addresses)
        except Refused as refused:
            _say(form, refused)
        else:
            return edge.back_to(f"{HERE}/{webhook_id}", _("Saved."))
    return _page(webhook_id, form), 422


def _given() -> tuple[Form, Wanted]:
    form = Form(request.form)
    url = form.text("url", _("Address"), max_length=2_000)
    if form.is_right:
        try:
            safe_client.check(url, private=safe_client.allowed_networks(edge.runtime().settings.private_targets))
        except (safe_client.Refused, safe_client.Unreachable) as problem:
            form.wrong("url", _("This address cannot be used: %(reason)s", reason=problem))
    purpose = form.text("purpose", _("Purpose"), required=False, max_length=500)
    recipient = form.text("recipient", _("Who gets it"), required=False, max_length=500)
    kinds = settings.chosen_kinds(request.form.getlist("kind"))
    return form, Wanted(url, kinds, bool(request.form.get("addresses")), purpose, recipient)


def _say(form: Form, refused: Refused) -> None:
    said = {
        "kinds": _("Choose at least one kind."),
        "purpose": _("Say what the addresses are for: it is written into the register of provisions."),
        "recipient": _("Say who gets the addresses: it is written into the register of provisions."),
        "count": _("There are %(count)s webhooks already: delete one first.", count=settings.WEBHOOKS_MAX),
    }
    form.wrong("url" if refused.field == "count" else refused.field, said[refused.field])


def _actor() -> str:
    return f"account:{edge.signed_in().id}"


# ---- acts


@blueprint.post(f"{HERE}/<int:webhook_id>/switch")
@edge.allowed("settings.edit")
def switch(webhook_id: int) -> Response:
    with edge.writing() as session:
        hook = session.get(Webhook, webhook_id) or abort(404)
        settings.switch(session, hook, on=not hook.enabled, now=edge.now())
        edge.audit(session, "webhook.on" if hook.enabled else "webhook.off", hook.id)
    return edge.back_to(f"{HERE}/{webhook_id}", _("The webhook is on.") if hook.enabled else _("The webhook is off."))


@blueprint.post(f"{HERE}/<int:webhook_id>/secret")
@edge.allowed("settings.edit")
def renew_secret(webhook_id: int) -> str:
    with edge.writing() as session:
        hook = session.get(Webhook, webhook_id) or abort(404)
        secret = settings.renew_secret(session, edge.runtime().secrets, hook, edge.now())
        edge.audit(session, "webhook.secret", hook.id)
    return _page(webhook_id, new_secret=secret)


@blueprint.post(f"{HERE}/<int:webhook_id>/test")
@edge.allowed("settings.edit")
def test(webhook_id: int) -> Response:
    ground = edge.runtime()
    with edge.writing() as session:
        hook = session.get(Webhook, webhook_id) or abort(404)
        body = words.body(words.TEST, edge.now(), {"text": _("This is a test")})
        post = posts.put(session, hook.id, words.TEST, body, edge.now())
        post.lease_until = edge.now() + jobs.LEASE  # tried here and now, by nobody else
        edge.audit(session, "webhook.test", hook.id)
    status, said = jobs.attempt(ground, hook, post)
    taken = status is not None and 200 <= status < 300
    _end(post.id, said, taken)
    message = _("It answered %(status)s.", status=status) if status is not None else _("It cannot be reached: %(reason)s", reason=said)
    return edge.back_to(f"{HERE}/{webhook_id}", message, "ok" if taken else "bad")


def _end(post_id: int, said: str, taken: bool) -> None:
    """A test is tried once and stands among the others with what came of it."""
    with edge.writing() as session:
        post = session.get_one(WebhookPost, post_id)
        post.state, post.reply, post.tries, post.lease_until = "sent" if taken else "failed", said[:200], 1, None
        post.ended_at = clock.now()


@blueprint.post(f"{HERE}/<int:webhook_id>/posts/<int:post_id>/again")
@edge.allowed("settings.edit")
def send_again(webhook_id: int, post_id: int) -> Response:
    ground = edge.runtime()
    with edge.writing() as session:
        posts.again(session, _post(session, webhook_id, post_id), edge.now())
        edge.audit(session, "webhook.again", webhook_id, post=post_id)
    edge.ring(lambda: jobs.ring_waiting(ground))
    return edge.back_to(f"{HERE}/{webhook_id}", _("It is sent again, under the same id."))


@blueprint.get(f"{HERE}/<int:webhook_id>/posts/<int:post_id>")
@edge.allowed("settings.edit")
def show_post(webhook_id: int, post_id: int) -> str:
    edge.demand("member.view")
    with edge.reading() as session:
        return render_template("admin/webhook_post.html", post=_post(session, webhook_id, post_id))


def _post(session: Session, webhook_id: int, post_id: int) -> WebhookPost:
    found = session.get(WebhookPost, post_id)
    return found if found is not None and found.webhook_id == webhook_id else abort(404)


@blueprint.post(f"{HERE}/<int:webhook_id>/delete")
@edge.allowed("settings.edit")
def delete(webhook_id: int) -> Response:
    with edge.writing() as session:
        hook = session.get(Webhook, webhook_id) or abort(404)
        edge.audit(session, "webhook.delete", hook.id)
        session.delete(hook)
    return edge.back_to(HERE, _("Deleted."))
