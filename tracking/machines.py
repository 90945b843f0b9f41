"""Who fetched: a person, a person through a mail provider's proxy, or a machine, with the rule that says so and its version.

A rule's version goes up when what it says changes; events keep the rule they were judged by. No rule claims more than it can know: a
beacon cannot tell a preview from a reading, and a scanner that poses as a browser after two seconds passes as a person.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

EARLY_MS = 2_000
BEFORE_MS = 600_000
"""a fetch longer than this before the acceptance was recorded says that the clocks differ, not that a scanner was quick"""
BURST_MS = 2_000
BURST_CLICKS = 3
"""clicks on more than one link of a mail within 2 s either side: scanners follow all links, nobody reads three pages at once"""
PERSON, HEAD, EARLY, BURST = "person/1", "head/1", "early/1", "burst/1"

PREFETCH = "Sec-Purpose: prefetch; "
"""what tracking.endpoint puts before the agent of a fetch that says it was not asked for by anybody yet"""


@dataclass(frozen=True, slots=True)
class Rule:
    """An agent that matches is a machine, or a person's proxy."""

    rule: str
    pattern: re.Pattern[str]
    client: str
    machine: bool
    source: str


def _rule(rule: str, pattern: str, client: str, source: str, *, machine: bool = True) -> Rule:
    return Rule(rule, re.compile(pattern, re.IGNORECASE), client, machine, source)


AGENT_RULES = (
    _rule("prefetch/1", r"\ASec-Purpose: prefetch; ", "Prefetch", "says so: Sec-Purpose (WHATWG Fetch), Purpose, X-Moz"),
    _rule("apple_relay/1", r"\AMozilla/5\.0\Z", "Apple Mail", "Mail Privacy Protection sends exactly this (ua-parser/uap-core 509)"),
    _rule("proxy_gmail/1", r"GoogleImageProxy", "Gmail", "fetches when a person opens (matomo-org/matomo 5359)", machine=False),
    _rule("proxy_yahoo/1", r"YahooMailProxy", "Yahoo Mail", "fetches when a person opens", machine=False),
    _rule("scanner/1", r"Gmail-content-sampling", "Gmail", "a sample of mail is fetched on arrival"),
    _rule("scanner/1", r"Barracuda", "Barracuda", "link protection of a mail gateway"),
    _rule("scanner/1", r"Proofpoint|urldefense", "Proofpoint", "URL Defense"),
    _rule("scanner/1", r"Mimecast", "Mimecast", "URL protection of a mail gateway"),
    _rule("scanner/1", r"MessageLabs|Symantec", "Symantec", "Email Security.cloud"),
    _rule("scanner/1", r"TrendMicro|Trend Micro", "Trend Micro", "URL check of a mail gateway"),
    _rule("scanner/1", r"FireEye|Sophos|Forcepoint|Bitdefender|Kaspersky", "Mail gateway", "URL check of a mail gateway"),
    _rule("preview/1", r"SkypeUriPreview|Teams|Slackbot|facebookexternalhit|Twitterbot|Discordbot|TelegramBot|WhatsApp|LinkedInBot",
          "Chat preview", "fetches links that are shown in a chat"),
    _rule("preview/1", r"Google-PageRenderer|Google Web Preview|BingPreview", "Link preview", "renders a page beforehand"),
    _rule("crawler/1", r"(?<![a-z])(?:Googlebot|bingbot|YandexBot|Baiduspider|AhrefsBot|SemrushBot|Applebot)|crawler|spider",
          "Crawler", "says of itself that it crawls"),
    _rule("headless/1", r"HeadlessChrome|PhantomJS", "Headless browser", "a browser that nobody looks at"),
)  # fmt: skip
"""The first that matches judges."""

CLIENTS = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"Outlook-iOS|Outlook-Android", "Outlook mobile"),
        (r"Microsoft Outlook|ms-office|MSOffice|Microsoft Office", "Outlook"),
        (r"Thunderbird", "Thunderbird"),
        (r"Edg(?:e|A|iOS)?/", "Edge"),
        (r"OPR/|Opera", "Opera"),
        (r"SamsungBrowser/", "Samsung Internet"),
        (r"FxiOS/|Firefox/", "Firefox"),
        (r"CriOS/|Chrome/", "Chrome"),
        (r"Version/[0-9.]+.*Safari/", "Safari"),
        (r"(?:iPhone|iPad|Macintosh).*AppleWebKit/[0-9.]+ \(KHTML, like Gecko\)", "Apple Mail"),
        (r"Trident/|MSIE ", "Internet Explorer"),
    )
)


@lru_cache(maxsize=20_000)
def of_agent(agent: str) -> tuple[str, bool, str | None]:
    """Rule, whether it is a machine, client: what the agent alone says."""
    for rule in AGENT_RULES:
        if rule.pattern.search(agent):
            return rule.rule, rule.machine, rule.client
    return PERSON, False, next((name for pattern, name in CLIENTS if pattern.search(agent)), None)
