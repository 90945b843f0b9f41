"""The judgement on who fetched, rule by rule."""

import pytest

from tracking.machines import AGENT_RULES, judge

APPLE_MAIL = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
OUTLOOK = "Mozilla/4.0 (compatible; ms-office; MSOffice 16)"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
SENT = 1_800_000_000_000
LATER = SENT + 3_600_000


@pytest.mark.parametrize(
    ("agent", "rule", "client"),
    [
        ("Mozilla/5.0", "apple_relay/1", "Apple Mail"),
        ("Gmail-content-sampling", "scanner/1", "Gmail"),
        ("BarracudaCentral LinkProtect", "scanner/1", "Barracuda"),
        ("Mozilla/5.0 (compatible; bingbot/2.0)", "crawler/1", "Crawler"),
        ("Mozilla/5.0 (Windows NT 6.1) SkypeUriPreview Preview/0.5", "preview/1", "Chat preview"),
    ],
)
def test_machines_by_their_agent(agent: str, rule: str, client: str) -> None:
    verdict = judge(agent, is_head=False, ms=LATER, accepted_ms=SENT)

    assert (verdict.machine, verdict.rule, verdict.client) == (True, rule, client)


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
        ("", "person/1", None),
    ],
)
def test_people_and_people_behind_a_proxy(agent: str, rule: str, client: str | None) -> None:
    verdict = judge(agent, is_head=False, ms=LATER, accepted_ms=SENT)

    assert (verdict.machine, verdict.rule, verdict.client) == (False, rule, client)


def test_head_is_a_machine_whatever_it_calls_itself() -> None:
    assert judge(CHROME, is_head=True, ms=LATER, accepted_ms=SENT).rule == "head/1"


@pytest.mark.parametrize(
    ("after_ms", "rule"),
    [(-200, "early/1"), (0, "early/1"), (1_999, "early/1"), (2_000, "person/1"), (-700_000, "person/1")],
)
def test_nobody_reads_in_the_first_two_seconds(after_ms: int, rule: str) -> None:
    assert judge(CHROME, is_head=False, ms=SENT + after_ms, accepted_ms=SENT).rule == rule


def test_without_a_time_of_acceptance_time_says_nothing() -> None:
    assert judge(CHROME, is_head=False, ms=SENT, accepted_ms=None).rule == "person/1"


def test_every_rule_names_its_version_and_source() -> None:
    for rule in AGENT_RULES:
        name, _, version = rule.rule.partition("/")
        assert name and version.isdigit() and len(rule.rule) <= 32 and rule.source and len(rule.client) <= 32
