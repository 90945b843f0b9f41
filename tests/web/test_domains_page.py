"""An administrator brings a domain from nothing to signed mails by what the page says, and nothing else answers on its link host."""

import re
from dataclasses import replace

import dns.resolver
import pytest
from sqlalchemy import select

from kairan import clock
from kairan.models.audit import AuditRow
from kairan.models.sending import DkimKey, KeyState, SendingDomain
from kairan.runtime import Runtime
from mailer.campaigns import preflight
from mailer.delivery import signing
from tests.support import dns_server
from tests.support import ground as make

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
HERE = "/settings/domains"


@pytest.fixture
def zone(monkeypatch):
    """The name server that this process asks."""
    with dns_server.running() as server:
        monkeypatch.setattr(dns.resolver, "default_resolver", server.resolver())
        yield server


@pytest.fixture
def domain_id(admin, ground: Runtime) -> int:
    answer = admin.post(HERE, {"domain": "Example.org"})
    assert answer.status_code == 303
    with ground.reading() as session:
        row = session.scalars(select(SendingDomain)).one()
    assert answer.location == f"{HERE}/{row.id}"
    return row.id


def _page(admin, domain_id):
    answer = admin.get(f"{HERE}/{domain_id}")
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


def _publish_what_the_page_says(page, zone):
    names = dict(re.findall(r'<code id="name-(\d+)" lang="en">([^<]+)</code>', page))
    values = dict(re.findall(r'<code id="value-(\d+)" lang="en">([^<]+)</code>', page))
    kinds = re.findall(r"<dd>(TXT|MX|CNAME)</dd>", page)
    for number, name in names.items():
        if number in values:
            kind = kinds[int(number) - 1]
            zone.put(name, "A" if kind == "CNAME" else kind, "192.0.2.1" if kind == "CNAME" else values[number])
    zone.put("example.org", "TXT", "v=spf1 mx -all")


def _states(ground, domain_id):
    with ground.reading() as session:
        return [key.state for key in signing.keys_of(session, domain_id)]


def test_publishing_what_the_page_says_makes_mails_signed(admin, ground, zone, domain_id):
    page = _page(admin, domain_id)
    assert "Mails from here are not signed yet" in page

    _publish_what_the_page_says(page, zone)
    answer = admin.post(f"{HERE}/{domain_id}/check")

    assert answer.location == f"{HERE}/{domain_id}"
    page = _page(admin, domain_id)
    assert "Checked. Everything is in the DNS." in page
    assert page.count("found</span>") == 4
    assert _states(ground, domain_id) == [KeyState.ACTIVE, KeyState.ACTIVE]
    assert "all found" in admin.get(HERE).get_data(as_text=True)
    with ground.reading() as session:
        assert signing.signer_for(session, ground.secrets, "news@example.org", clock.now()) is not None


def test_each_record_says_how_it_stands(admin, ground, zone, domain_id):
    page = _page(admin, domain_id)
    _publish_what_the_page_says(page, zone)
    zone.put("_dmarc.example.org", "TXT", "v=DMARC1; p=<b>sometimes</b>")
    zone.remove("example.org", "TXT")

    admin.post(f"{HERE}/{domain_id}/check")
    page = _page(admin, domain_id)

    assert "Not everything is in the DNS yet" in page
    assert "not found yet" in page
    assert "differs" in page
    assert "p=&lt;b&gt;sometimes&lt;/b&gt;" in page
    assert "2 records are not right" in admin.get(HERE).get_data(as_text=True)


def test_a_rotation_is_published_checked_and_done(admin, ground, zone, domain_id):
    _publish_what_the_page_says(_page(admin, domain_id), zone)
    admin.post(f"{HERE}/{domain_id}/check")

    admin.post(f"{HERE}/{domain_id}/rotate")
    page = _page(admin, domain_id)
    assert "New keys wait for the DNS" in page
    assert f"{HERE}/{domain_id}/rotate" not in page
    assert _states(ground, domain_id) == ["active", "active", "new", "new"]
    admin.post(f"{HERE}/{domain_id}/rotate")
    assert len(_states(ground, domain_id)) == 4

    _publish_what_the_page_says(page, zone)
    admin.post(f"{HERE}/{domain_id}/check")

    assert _states(ground, domain_id) == ["retired", "retired", "active", "active"]


def test_a_person_may_insist_and_retire_after_a_question(admin, ground, domain_id):
    with ground.reading() as session:
        key = signing.keys_of(session, domain_id)[0]

    for act, said in (("use", "Sign with this key now?"), ("retire", "Retire this key?")):
        path = f"{HERE}/{domain_id}/keys/{key.id}/{act}"
        assert said in admin.get(path).get_data(as_text=True)
        assert admin.post(path).location == f"{HERE}/{domain_id}"

    assert _states(ground, domain_id)[0] == KeyState.RETIRED
    with ground.reading() as session:
        assert session.get_one(DkimKey, key.id).private_key is None


def test_a_private_key_is_never_shown(admin, ground, domain_id):
    page = _page(admin, domain_id)

    assert "PRIVATE" not in page
    assert "private" not in re.sub(r"private half", "", page)


@pytest.mark.parametrize("wrong", ["", "localhost", "exa mple", "a@b@c.org", "<b>.org"])
def test_what_is_no_domain_is_said_so(admin, wrong):
    answer = admin.post(HERE, {"domain": wrong})

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.get_data(as_text=True)


def test_a_domain_is_added_once(admin, domain_id):
    answer = admin.post(HERE, {"domain": " @example.org. "})

    assert answer.status_code == 422
    assert "This domain is in the list already." in answer.get_data(as_text=True)


def test_names_of_its_own_are_kept_and_must_align(admin, ground, zone, domain_id):
    good = {"link_host": "https://Links.example.org", "return_path": "bounce@return.example.org"}
    assert admin.post(f"{HERE}/{domain_id}", good).status_code == 303
    for wrong in ({"link_host": "links.example.net"}, {"link_host": "127.0.0.1"}, {"link_host": "a b"}, {"return_path": "a@example.net"}):
        assert admin.post(f"{HERE}/{domain_id}", wrong).status_code == 422, wrong

    with ground.reading() as session:
        row = session.get_one(SendingDomain, domain_id)
        assert (row.link_host, row.return_path) == ("links.example.org", "bounce@return.example.org")
    page = _page(admin, domain_id)
    assert "return.example.org" in page
    _publish_what_the_page_says(page, zone)
    admin.post(f"{HERE}/{domain_id}/check")
    assert "p=none" in _page(admin, domain_id)


def test_on_a_link_host_only_what_stands_in_mails_is_answered(app, admin, ground, domain_id):
    admin.post(f"{HERE}/{domain_id}", {"link_host": "links.example.org"})
    visitor = app.test_client()

    def status(path, host):
        return visitor.get(path, headers={"Host": host}).status_code

    for path in ("/", "/login", "/settings/domains", "/api/v1/campaigns", "/metrics", "/setup/x", "/demo/inbox"):
        assert status(path, "links.example.org") == 404, path
        assert status(path, "LINKS.example.org:443") == 404, path
    assert status("/about/tracking", "links.example.org") == 200
    assert status("/login", "127.0.0.1:8000") == 200
    assert status("/login", "mail.example.org") == 200


def test_deleting_asks_first_and_takes_the_keys_along(admin, ground, domain_id):
    assert "Delete this domain?" in admin.get(f"{HERE}/{domain_id}/delete").get_data(as_text=True)

    assert admin.post(f"{HERE}/{domain_id}/delete").location == HERE

    with ground.reading() as session:
        assert session.scalars(select(DkimKey)).all() == []
    assert admin.get(f"{HERE}/{domain_id}").status_code == 404


def test_a_key_of_another_domain_is_not_reached_through_this_one(admin, ground, domain_id):
    admin.post(HERE, {"domain": "other.example"})
    with ground.reading() as session:
        other = session.scalars(select(DkimKey).where(DkimKey.domain_id != domain_id)).first()

    assert admin.post(f"{HERE}/{domain_id}/keys/{other.id}/retire").status_code == 404


@pytest.mark.parametrize("role", ["marketer", "analyst", "privacy_officer"])
def test_only_administrators_see_it(signed_in, role):
    browser = signed_in(role)

    assert browser.get(HERE).status_code == 403
    assert browser.post(HERE, {"domain": "example.org"}).status_code == 403


def test_every_change_is_in_the_audit_log_without_names(admin, ground, zone, domain_id):
    admin.post(f"{HERE}/{domain_id}", {"link_host": "links.example.org"})
    _publish_what_the_page_says(_page(admin, domain_id), zone)
    admin.post(f"{HERE}/{domain_id}/check")
    admin.post(f"{HERE}/{domain_id}/rotate")
    admin.post(f"{HERE}/{domain_id}/delete")

    with ground.reading() as session:
        rows = [row for row in session.scalars(select(AuditRow)) if row.action.startswith("domain.")]
    assert [row.action for row in rows] == [
        "domain.add", "domain.change", "domain.key_use", "domain.key_use", "domain.rotate", "domain.delete",
    ]  # fmt: skip
    assert all("example" not in str(row.detail) for row in rows)


# ---- before a send


def test_sending_unsigned_is_warned_of_where_receivers_look(admin, ground, domain_id, zone):
    settings = replace(ground.settings, base_url="https://mail.example.org")
    with ground.writing() as session:
        into = make.make_list(session)
        make.make_members(session, 1, into)
        campaign = make.make_campaign(session, into)
        campaign_id = campaign.id

    def rules(given=settings):
        with ground.reading() as session:
            return {finding.rule for finding in preflight.check(session, campaign_id, given, now=clock.now())}

    assert "unsigned" in rules()
    assert "unsigned" not in rules(ground.settings)
    admin.post(HERE, {"domain": "books.example"})
    with ground.writing() as session:
        own = signing.domain_of(session, "news@books.example")
        own_id = own.id
    admin.post(f"{HERE}/{own_id}/check")
    assert {"unsigned", "sender_dns"} <= rules()
    _publish_what_the_page_says(_page(admin, own_id), zone)
    zone.put("books.example", "TXT", "v=spf1 -all")
    admin.post(f"{HERE}/{own_id}/check")
    assert rules().isdisjoint({"unsigned", "sender_dns"})


# ---- in a browser


def _open(page, address, signed_in, path):
    """With the session of an administrator."""
    cookies = signed_in("admin").client._cookies.values()
    page.context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": address} for cookie in cookies])
    page.goto(address + path)


@pytest.mark.parametrize(
    ("width", "scheme", "language"), [(1440, "light", "en"), (1440, "dark", "ja"), (390, "light", "ja"), (390, "dark", "en")]
)
def test_the_pages_are_open_to_everybody_and_fit_the_screen(
    address, signed_in, ground, zone, domain_id, new_page, axe, admin, width, scheme, language
):
    own = {"link_host": "links.example.org", "return_path": "bounce@return.example.org"}
    admin.post(f"{HERE}/{domain_id}", own)
    zone.put("_dmarc.example.org", "TXT", "v=DMARC1; p=sometimes")
    admin.post(f"{HERE}/{domain_id}/check")
    admin.post("/preferences", {"language": language})
    with ground.reading() as session:
        key = signing.keys_of(session, domain_id)[0]
    page = new_page(locale="en-GB", color_scheme=scheme, viewport={"width": width, "height": 900})

    for path in (HERE, f"{HERE}/{domain_id}", f"{HERE}/{domain_id}/keys/{key.id}/use", f"{HERE}/{domain_id}/delete"):
        _open(page, address, signed_in, path)

        assert page.locator("h1").is_visible()
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than {width} px"


def test_a_value_is_copied_whole(address, signed_in, ground, domain_id, page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    _open(page, address, signed_in, f"{HERE}/{domain_id}")

    page.click("[data-copy=value-1]")
    page.wait_for_selector("[data-copy=value-1]:has-text('Copied')")

    copied = page.evaluate("navigator.clipboard.readText()")
    with ground.reading() as session:
        key = signing.keys_of(session, domain_id)[0]
    assert copied == f"v=DKIM1; k=rsa; p={key.public_key}"


def test_without_script_the_values_are_there_and_no_button_is(address, signed_in, domain_id, new_page):
    page = new_page(locale="en-GB", java_script_enabled=False)
    _open(page, address, signed_in, f"{HERE}/{domain_id}")

    assert page.locator("#value-1").inner_text().startswith("v=DKIM1; k=rsa; p=")
    assert not page.locator("[data-copy]").first.is_visible()
