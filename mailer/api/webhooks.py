"""Webhooks by API: made with a secret that is answered once, changed, ended; their messages seen and sent again."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import safe_client
from kairan.i18n import gettext as _
from kairan.models.webhooks import Webhook, WebhookPost
from mailer.api.calls import Call, operation
from mailer.api.idempotency import Answer
from mailer.api.problems import Problem, missing, wrong
from mailer.api.shapes import Change, Given, Nothing, PageQuery, Shown
from mailer.webhooks import jobs, posts, settings
from mailer.webhooks.settings import Refused, Wanted

Kind = Literal["open", "click", "unsubscribe", "bounce", "complaint", "campaign"]
Url = Annotated[str, StringConstraints(max_length=2_000, min_length=8)]
Text = Annotated[str, StringConstraints(max_length=500)]


class NewWebhook(Given):
    url: Url
    kinds: list[Kind] = Field(min_length=1)
    addresses: bool = False
    purpose: Text = ""
    recipient: Text = ""


class WebhookChange(Change):
    url: Url = ""
    kinds: list[Kind] = Field(default_factory=list, min_length=1)
    addresses: bool = False
    purpose: Text = ""
    recipient: Text = ""
    enabled: bool = True


class WebhookShown(Shown):
    id: str
    url: str
    kinds: list[Kind]
    addresses: bool
    enabled: bool
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime


class WebhookMade(WebhookShown):
    secret: str
    """what signatures are checked with; answered only this once"""


class WebhookPage(Shown):
    items: list[WebhookShown]
    next: str | None


class PostShown(Shown):
    id: str
    message_id: str
    type: str
    state: Literal["queued", "sent", "failed"]
    tries: int
    reply: str | None
    created_at: datetime
    ended_at: datetime | None


class PostPage(Shown):
    items: list[PostShown]
    next: str | None


def _shown(row: Webhook) -> WebhookShown:
    return WebhookShown(**_fields(row))


def _fields(row: Webhook) -> dict[str, Any]:
    same = ("url", "kinds", "addresses", "enabled", "failing_since", "created_at", "updated_at")
    return {"id": str(row.id), **{name: getattr(row, name) for name in same}}


def _find(session: Session, webhook_id: int) -> Webhook:
    found = session.get(Webhook, webhook_id)
    if found is None:
        raise missing()
    return found


def _check_url(call: Call, url: str) -> None:
    try:
        safe_client.check(url, private=safe_client.allowed_networks(call.ground.settings.private_targets))
    except (safe_client.Refused, safe_client.Unreachable) as problem:
        raise wrong("/url", _("This address cannot be used: %(reason)s", reason=problem)) from problem


def _refusal(refused: Refused) -> Problem:
    if refused.field == "count":
        return Problem(409, _("There are %(count)s webhooks already: delete one first.", count=settings.WEBHOOKS_MAX), code="too-many")
    return wrong(f"/{refused.field}", _("This is empty."))


@operation("POST", "/webhooks", "settings.edit", {201: WebhookMade}, body=NewWebhook, problems=(409,))
def create(call: Call, body: NewWebhook) -> Answer:
    """Makes a webhook. Its secret stands in this answer alone; a repetition under the same Idempotency-Key answers without it."""
    _check_url(call, body.url)
    wanted = Wanted(body.url, tuple(body.kinds), body.addresses, body.purpose, body.recipient)
    with call.effect() as session:
        try:
            row, secret = settings.make(session, call.ground.secrets, wanted, actor=call.actor, now=call.now)
        except Refused as refused:
            raise _refusal(refused) from refused
        call.audit(session, "webhook.make", row.id, kinds=row.kinds, addresses=row.addresses)
        call.say(201, WebhookMade(**_fields(row), secret=""))
    assert call.said is not None and isinstance(call.said.body, dict)
    return Answer(201, {**call.said.body, "secret": secret})


@operation("GET", "/webhooks", "settings.edit", {200: WebhookPage})
def index(call: Call) -> Answer:
    """All of them."""
    with call.reading() as session:
        return call.say(200, WebhookPage(items=[_shown(row) for row in settings.all_of(session)], next=None))


@operation("GET", "/webhooks/{webhook_id}", "settings.edit", {200: WebhookShown}, problems=(404,))
def show(call: Call, webhook_id: int) -> Answer:
    """One webhook, without its secret."""
    with call.reading() as session:
        return call.say(200, _shown(_find(session, webhook_id)))


@operation("PATCH", "/webhooks/{webhook_id}", "settings.edit", {200: WebhookShown}, body=WebhookChange, problems=(404,))
def change(call: Call, webhook_id: int, body: WebhookChange) -> Answer:
    """Changes what is given. `enabled` switches it; what happens while it is off is not told later."""
    given = body.model_dump(exclude_unset=True)
    if "url" in given:
        _check_url(call, body.url)
    with call.effect() as session:
        row = _find(session, webhook_id)
        before = {"url": row.url, "kinds": row.kinds, "addresses": row.addresses, "purpose": row.purpose, "recipient": row.recipient}
        after = {**before, **{name: value for name, value in given.items() if name in before}}
        try:
            settings.change(session, row, Wanted(**{**after, "kinds": tuple(after["kinds"])}), actor=call.actor, now=call.now)
        except Refused as refused:
            raise _refusal(refused) from refused
        if "enabled" in given and given["enabled"] != row.enabled:
            settings.switch(session, row, on=given["enabled"], now=call.now)
        call.audit(session, "webhook.change", row.id, names=sorted(given))
        return call.say(200, _shown(row))


@operation("DELETE", "/webhooks/{webhook_id}", "settings.edit", {204: None}, problems=(404,))
def delete(call: Call, webhook_id: int) -> Answer:
    """Ends it, with its messages."""
    with call.effect() as session:
        row = _find(session, webhook_id)
        call.audit(session, "webhook.delete", row.id)
        session.delete(row)
        return call.say(204)


@operation("GET", "/webhooks/{webhook_id}/messages", "settings.edit", {200: PostPage}, query=PageQuery, problems=(404,))
def messages(call: Call, webhook_id: int, query: PageQuery) -> Answer:
    """Its messages, the newest first, kept for 30 days after their end."""
    with call.reading() as session:
        _find(session, webhook_id)
        wanted = select(WebhookPost).where(WebhookPost.webhook_id == webhook_id).order_by(WebhookPost.id.desc()).limit(query.limit + 1)
        if query.cursor:
            wanted = wanted.where(WebhookPost.id < int(query.cursor))
        rows = list(session.scalars(wanted))
    items = [_post(row) for row in rows[: query.limit]]
    return call.say(200, PostPage(items=items, next=items[-1].id if len(rows) > query.limit else None))


def _post(row: WebhookPost) -> PostShown:
    same = ("message_id", "state", "tries", "reply", "created_at", "ended_at")
    return PostShown(id=str(row.id), type=row.kind, **{name: getattr(row, name) for name in same})


@operation("POST", "/webhooks/{webhook_id}/messages/{message_id}/again", "settings.edit", {202: PostShown}, body=Nothing, problems=(404,))
def send_again(call: Call, webhook_id: int, message_id: int, body: Nothing) -> Answer:
    """Sends a message once more under its old `webhook-id`."""
    with call.effect() as session:
        post = session.get(WebhookPost, message_id)
        if post is None or post.webhook_id != webhook_id:
            raise missing()
        posts.again(session, post, call.now)
        call.audit(session, "webhook.again", webhook_id, post=message_id)
        call.bells.append(lambda: jobs.ring_waiting(call.ground))
        return call.say(202, _post(post))
