"""Settings, Alerts: each person chooses for themselves; the webhook is the administrators', and its secret is shown once."""

import re

from sqlalchemy import select

from kairan import vault
from kairan.models.alerts import AlertHook
from mailer.accounts import people
from mailer.campaigns import alert_posts, alerts
from tests.campaigns.test_alerts import Receiver, receiver

__all__ = ["receiver"]
HERE = "/settings/alerts"


def _hook(ground) -> AlertHook | None:
    with ground.reading() as session:
        return session.scalars(select(AlertHook)).one_or_none()


def _allow_this_machine(ground) -> None:
    object.__setattr__(ground.settings, "private_targets", "127.0.0.1")


def test_a_person_chooses_what_they_are_told(signed_in, ground):
    marketer = signed_in("marketer")
    assert 'value="campaign.paused" checked' in marketer.get(HERE).text

    assert marketer.post(HERE, {"kind": ["campaign.ended", "redis.away"]}).status_code == 303

    page = marketer.get(HERE).text
    assert re.findall(r'name="kind" value="([\w.]+)" checked', page) == ["campaign.ended"]
    assert "redis.away" not in page
    with ground.reading() as session:
        admin = people.by_email(session, "admin@example.org")
        assert all(alerts.choices(session, admin.id, admin.role).values())


def test_every_role_has_the_page_and_only_administrators_the_webhook(signed_in):
    for role in ("marketer", "analyst", "privacy_officer"):
        browser = signed_in(role)
        assert browser.get(HERE).status_code == 200
        assert 'id="webhook"' not in browser.get(HERE).text
        assert browser.post(f"{HERE}/webhook", {"url": "https://example.org/"}).status_code == 403


def test_the_secret_is_shown_once_and_kept_sealed(admin, ground, receiver: Receiver):
    _allow_this_machine(ground)
    page = admin.post(f"{HERE}/webhook", {"url": receiver.url, "hook_kind": ["campaign.paused"]})

    secret = re.search(r"whsec_[\w+/=]+", page.text)[0]
    hook = _hook(ground)
    assert secret.encode() not in hook.secret
    assert vault.of(ground.secrets).open(hook.secret, alert_posts.place_of_secret(hook.id)).decode() == secret
    assert hook.kinds == ["campaign.paused"]
    assert "whsec_" not in admin.get(HERE).text

    admin.post(f"{HERE}/webhook", {"url": receiver.url, "hook_kind": ["campaign.ended"]})
    assert _hook(ground).secret == hook.secret
    assert secret not in admin.post(f"{HERE}/webhook/secret").text
    assert _hook(ground).secret != hook.secret


def test_it_can_be_tried_out_and_deleted(admin, ground, receiver: Receiver):
    _allow_this_machine(ground)
    admin.post(f"{HERE}/webhook", {"url": receiver.url})
    assert "It answered 200." in admin.post(f"{HERE}/webhook/test", follow_redirects=True).text
    assert b'"type": "test"' in receiver.got[0][1]

    receiver.statuses = [403]
    assert "It answered 403." in admin.post(f"{HERE}/webhook/test", follow_redirects=True).text

    assert admin.post(f"{HERE}/webhook/delete").status_code == 303
    assert _hook(ground) is None
    assert admin.post(f"{HERE}/webhook/test").status_code == 404


def test_an_address_of_our_own_network_is_refused_with_a_reason(admin, ground):
    for url in ("http://127.0.0.1/", "http://0x7f.1/", "http://169.254.169.254/latest", "ftp://example.org/"):
        answer = admin.post(f"{HERE}/webhook", {"url": url})

        assert answer.status_code == 422
        assert "This address cannot be used" in answer.text
    assert _hook(ground) is None
