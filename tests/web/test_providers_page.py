"""Mail servers are added, tried out, mended and taken away in the settings, and a password never comes back out."""

import re

import pytest
from sqlalchemy import select, text

from kairan import clock, vault
from kairan.models.audit import AuditRow
from kairan.models.deliveries import DomainRate, Provider, ProviderDay
from mailer.delivery import ceilings, providers
from tests.support import auth_smtp

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HERE = "/settings/providers"
FORM = {
    "name": "Service", "host": "localhost", "port": "587", "security": "starttls", "login": "me", "password": "hunter2-geheim",
    "enabled": "yes", "position": "10", "weight": "1", "connections": "20",
}  # fmt: skip


def _add(admin, **more) -> str:
    answer = admin.post(f"{HERE}/new", {**FORM, **more})
    assert answer.status_code == 303, re.findall(r'class="error".*?<span>(.*?)</span>', answer.text)
    return answer.location


def _row(ground, name="Service") -> Provider:
    with ground.reading() as session:
        return session.scalars(select(Provider).where(Provider.name == name)).one()


def _password(ground) -> str | None:
    row = _row(ground)
    return providers.account_of(row, None, vault.of(ground.secrets)).password if row.password else None


def test_a_wrong_password_is_named_mended_and_sent_with(admin, ground, tmp_path, monkeypatch):
    with auth_smtp.running(tmp_path, password="right") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
        page = _add(admin, port=str(server.port), password="wrong")

        assert admin.post(f"{page}/test").location == page
        assert "refused the login: 535" in admin.get(page).text
        assert "The last try failed" in admin.get(HERE).text

        admin.post(page, {**FORM, "port": str(server.port), "password": "right"})
        admin.post(f"{page}/test", {"to": "hanako@example.com"})

        assert "The server accepted the mail: 250" in admin.get(page).text
        assert "The last try failed" not in admin.get(HERE).text
        assert server.mails == [("hanako@example.com", "hanako@example.com")]
        assert all(over_tls for _user, _password, over_tls in server.logins)


def test_a_password_is_sealed_in_the_database_and_in_no_page(admin, ground):
    page = _add(admin)

    assert _password(ground) == "hunter2-geheim"
    for path in (page, HERE, "/settings/about"):
        assert "hunter2" not in admin.get(path).text
    assert "hunter2" not in admin.post(page, {**FORM, "name": ""}).text
    with ground.reading() as session:
        assert "hunter2" not in str(session.execute(text("SELECT * FROM providers")).all())
        assert "hunter2" not in str([row.detail for row in session.scalars(select(AuditRow))])


def test_an_empty_password_keeps_the_stored_one(admin, ground):
    page = _add(admin)

    admin.post(page, {**FORM, "password": "", "weight": "3"})

    assert _row(ground).weight == 3
    assert _password(ground) == "hunter2-geheim"


@pytest.mark.parametrize("change", [{"host": "evil.example"}, {"port": "2525"}, {"security": "tls"}, {"login": "other"}])
def test_a_stored_password_never_goes_to_another_server(admin, ground, change):
    page = _add(admin)

    answer = admin.post(page, {**FORM, "password": "", **change})

    assert answer.status_code == 422
    assert "Enter the password again" in answer.text
    admin.post(page, {**FORM, "password": "", "login": "", **change})
    assert _row(ground).password is None or _row(ground).host == "localhost"


def test_without_a_login_the_changed_server_holds_no_password(admin, ground):
    page = _add(admin)

    admin.post(page, {**FORM, "host": "other.example", "password": "", "login": ""})

    assert (_row(ground).host, _row(ground).password) == ("other.example", None)


def test_a_login_in_clear_is_refused_but_to_this_machine(admin, ground):
    refused = admin.post(f"{HERE}/new", {**FORM, "host": "10.0.0.5", "security": "none"})

    assert refused.status_code == 422
    assert "in clear" in refused.text
    _add(admin, host="127.0.0.1", security="none")
    _add(admin, name="Relay", host="10.0.0.5", security="none", login="", password="")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"host": "smtp://mail.example.org"}, "Write a host name"),
        ({"host": "a b"}, "Write a host name"),
        ({"port": "0"}, "a number from 1 to 65535"),
        ({"port": "x"}, "a number from 1 to 65535"),
        ({"weight": "1.5"}, "a number from 1 to 1000"),
        ({"rate": "nan"}, "a number from"),
        ({"security": "ssl"}, "Choose: Encryption"),
        ({"password": ""}, "Enter the password"),
        ({"name": "environment"}, "of this name already"),
        ({"warm": "yes", "warm_start": "", "warm_factor": "1.5", "warm_target": "100"}, "On the first day"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_stored(admin, ground, wrong, says):
    answer = admin.post(f"{HERE}/new", {**FORM, **wrong})

    assert answer.status_code == 422
    assert says in answer.text
    with ground.reading() as session:
        assert session.scalars(select(Provider)).all() == []


def test_the_list_shows_how_each_stands(admin, ground):
    _add(admin, daily_ceiling="1,000")
    _add(admin, name="Broken")
    _add(admin, name="Idle", enabled="")
    now = clock.now()
    with ground.writing() as session:
        ceilings.reserve_today(session, _row(ground).id, 1_000, now)
        providers.open_breaker(session, _row(ground, "Broken").id, "the server refused the login: 535 no", now)

    page = admin.get(HERE).text

    assert "1,000 / 1,000" in page
    assert "Ceiling reached" in page
    assert "left alone until" in page
    assert "535 no" in page
    assert "Off" in page
    assert "No mail goes out" in page


def test_a_change_of_the_ceiling_holds_today(admin, ground):
    page = _add(admin, daily_ceiling="10")
    now = clock.now()
    with ground.writing() as session:
        assert ceilings.reserve_today(session, _row(ground).id, 50, now) == 10

    admin.post(
        page, {**FORM, "password": "", "daily_ceiling": "30", "warm": "yes", "warm_start": "25", "warm_factor": "2", "warm_target": "90"}
    )

    with ground.writing() as session:
        assert ceilings.reserve_today(session, _row(ground).id, 50, now) == 15
        assert ceilings.today(session, now)[_row(ground).id].ceiling == 25


def test_who_sent_nothing_goes_and_who_sent_stays_switched_off(admin, ground):
    unused, used = _add(admin), _add(admin, name="Used")
    with ground.writing() as session:
        ceilings.reserve_today(session, int(used.rpartition("/")[2]), 1, clock.now())

    assert "Nothing went through it" in admin.get(f"{unused}/delete").text
    admin.post(f"{unused}/delete")
    admin.post(f"{used}/delete")

    with ground.reading() as session:
        rows = session.scalars(select(Provider)).all()
        assert [(row.name, row.enabled, row.password) for row in rows] == [("Used", False, None)]
        assert session.scalar(select(ProviderDay.started)) == 1
        acts = [row.action for row in session.scalars(select(AuditRow).order_by(AuditRow.id)) if row.action.startswith("provider")]
        assert acts == ["provider.add", "provider.add", "provider.delete", "provider.switch_off"]


def test_the_environments_own_is_shown_and_read_only(admin, ground, app):
    object.__setattr__(ground.settings, "smtp_url", "smtp+starttls://me:secret-of-env@mail.example.org:587")

    assert "From the environment" in admin.get(HERE).text
    page = f"{HERE}/{_row(ground, 'environment').id}"

    assert "KAIRAN_SMTP_URL" in admin.get(page).text
    assert "secret-of-env" not in admin.get(page).text
    assert admin.post(page, FORM).status_code == 404
    assert admin.post(f"{page}/delete").status_code == 404
    object.__setattr__(ground.settings, "smtp_url", "")
    assert "Off" in admin.get(HERE).text


def test_slower_rates_are_switched_on_for_all_and_for_one(admin, ground):
    page = _add(admin)
    assert "checked" not in admin.get(f"{HERE}/domains").text

    all_of_them = {
        "on_docomo": "yes",
        "rate_docomo": "2",
        "own_name_0": "Club",
        "own_domains_0": "club.example, @www.example",
        "own_rate_0": "1",
    }
    assert admin.post(f"{HERE}/domains", all_of_them).status_code == 303
    assert admin.post(f"{page}/domains", {"on_docomo": "yes", "rate_docomo": "0.5"}).status_code == 303

    with ground.reading() as session:
        rows = session.scalars(select(DomainRate).order_by(DomainRate.id)).all()
        assert [(row.name, row.rate, row.domains) for row in rows] == [
            ("docomo", 2.0, None),
            ("Club", 1.0, ["club.example", "www.example"]),
            ("docomo", 0.5, None),
        ]
    assert "2 groups of recipient domains get mail slowly" in admin.get(HERE).text
    wrong = admin.post(f"{HERE}/domains", {"own_name_0": "docomo", "own_domains_0": "nonsense", "own_rate_0": "0"})
    assert wrong.status_code == 422
    assert "Write domains such as" in wrong.text


@pytest.mark.parametrize("role", ["marketer", "analyst", "privacy_officer"])
def test_only_administrators_see_and_change_them(admin, signed_in, role):
    page = _add(admin)
    other = signed_in(role)

    for path in (HERE, page, f"{HERE}/new", f"{HERE}/domains", f"{page}/delete"):
        assert other.get(path).status_code == 403
    assert other.post(f"{page}/test").status_code == 403
    assert other.post(page, FORM).status_code == 403
