"""The judgement on who fetched by the agent alone, rule by rule; what time and company say is in test_ingest."""

import pytest

from tracking.machines import AGENT_RULES, of_agent

APPLE_MAIL = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
OUTLOOK = "Mozilla/4.0 (compatible; ms-office; MSOffice 16)"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"


@pytest.mark.parametrize(
    ("agent", "rule", "client"),
    [
        ("Mozilla/5.0", "apple_relay/1", "Apple Mail"),
        ("Gmail-content-sampling", "scanner/1", "Gmail"),
        ("BarracudaCentral LinkProtect", "scanner/1", "Barracuda"),
        ("Mozilla/5.0 (compatible; bingbot/2.0)", "crawler/1", "Crawler"),
        ("Mozilla/5.0 (Windows NT 6.1) SkypeUriPreview Preview/0.5", "preview/1", "Chat preview"),
        ("facebookexternalhit/1.1;line-poker/1.0", "preview/1", "Chat preview"),
        ("Microsoft Office Existence Discovery", "discovery/1", "Office"),
        ("Microsoft Office Protocol Discovery", "discovery/1", "Office"),
        ("curl/8.14.1", "program/1", "Program"),
        ("python-requests/2.32", "program/1", "Program"),
        ("Sec-Purpose: prefetch; " + CHROME, "prefetch/1", "Prefetch"),
        ("", "no_agent/1", "None"),
        (" - ", "no_agent/1", "None"),
    ],
)
def test_machines_by_their_agent(agent: str, rule: str, client: str) -> None:
    assert of_agent(agent) == (rule, True, client, None)


@pytest.mark.parametrize(
    ("agent", "rule", "client"),
    [
        (APPLE_MAIL, "person/1", "Apple Mail"),
        (IPHONE, "person/1", "Apple Mail"),
        (OUTLOOK, "person/1", "Outlook"),
        (CHROME, "person/1", "Chrome"),
        ("Outlook-Android/2.0", "person/1", "Outlook mobile"),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "proxy_gmail/1", "Gmail"),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "proxy_yahoo/1", "Yahoo Mail"),
        ("Mozilla/5.0 (Linux; Android 14; CUBOT KINGKONG) AppleWebKit/537.36 Chrome/142.0 Mobile Safari/537.36", "person/1", "Chrome"),
        ("Mozilla/5.0 (Linux; Android 14; SO-51D; wv) Version/4.0 Chrome/142.0 Mobile Safari/537.36", "person/1", "App on Android"),
        ("Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)", "person/1", "Outlook"),
        ("okhttp/4.12.0", "person/1", None),
        ("Nobody has heard of this one", "person/1", None),
    ],
)
def test_people_and_people_behind_a_proxy(agent: str, rule: str, client: str | None) -> None:
    assert of_agent(agent)[:3] == (rule, False, client)


def test_every_rule_names_its_version_and_source() -> None:
    for rule in AGENT_RULES:
        name, _, version = rule.rule.partition("/")
        assert name and version.isdigit() and len(rule.rule) <= 32 and rule.source and len(rule.client) <= 32
