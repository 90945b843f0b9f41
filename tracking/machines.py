"""Who fetched: a person, a person through a mail provider's proxy, or a machine, with the rule that says so and its version.

A rule's version goes up when what it says changes; events keep the rule they were judged by. No rule claims more than it can know: a
beacon cannot tell a preview from a reading, and a scanner that poses as a browser after two seconds passes as a person.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

EARLY_MS = 2_000
BEFORE_MS = 600_000
"""a fetch longer than this before the acceptance was recorded says that the clocks differ, not that a scanner was quick"""
BURST_MS = 2_000
BURST_CLICKS = 3
"""clicks on more than one link of a mail within 2 s either side: scanners follow all links, nobody reads three pages at once"""
PERSON, HEAD, EARLY, BURST = "person/1", "head/1", "early/1", "burst/1"

PREFETCH = "Sec-Purpose: prefetch; "
"""what tracking.endpoint puts before the agent of a fetch that says it was not asked for by anybody yet"""


class Device(StrEnum):
    """What a member read on, as far as a user agent tells: an iPad's Mail says that it is a Macintosh."""

    PHONE = "phone"
    TABLET = "tablet"
    COMPUTER = "computer"


class Basis(StrEnum):
    """How we know what a rule says."""

    DOCUMENTED = "documented"
    """its maker or a standard writes it down"""
    OBSERVED = "observed"
    """others saw and published it; we did not capture it"""
    GUESS = "guess"
    """likely, and no more than that"""


@dataclass(frozen=True, slots=True)
class Rule:
    """An agent that matches is a machine, or a person's proxy."""

    rule: str
    pattern: re.Pattern[str]
    client: str
    machine: bool
    basis: Basis
    source: str


def _rule(rule: str, pattern: str, client: str, basis: Basis, source: str, *, machine: bool = True) -> Rule:
    return Rule(rule, re.compile(pattern, re.IGNORECASE), client, machine, basis, source)


_D, _O, _G = Basis.DOCUMENTED, Basis.OBSERVED, Basis.GUESS
AGENT_RULES = (
    _rule("prefetch/1", r"\ASec-Purpose: prefetch; ", "Prefetch", _D, "the request says so: Sec-Purpose (WHATWG Fetch), Purpose, X-Moz"),
    _rule("no_agent/1", r"\A[\s-]*\Z", "None", _G,
          "every mail program and browser we know of names itself; who takes the name out does not want to be counted"),
    _rule("apple_relay/1", r"\AMozilla/5\.0\Z", "Apple Mail", _O,
          "Mail Privacy Protection fetches on arrival, with exactly this (ua-parser/uap-core 509)"),
    _rule("proxy_gmail/1", r"GoogleImageProxy", "Gmail", _O, "fetches when a person opens (matomo-org/matomo 5359)", machine=False),
    _rule("proxy_yahoo/1", r"YahooMailProxy", "Yahoo Mail", _D, "the agent leads to Yahoo's page about it: fetches when a person opens",
          machine=False),
    _rule("scanner/1", r"Gmail-content-sampling", "Gmail", _O, "a sample of mail is fetched on arrival"),
    _rule("scanner/1", r"Barracuda", "Barracuda", _G, "link protection of a mail gateway, by its maker's name"),
    _rule("scanner/1", r"Proofpoint|urldefense", "Proofpoint", _G, "URL Defense, by its maker's name"),
    _rule("scanner/1", r"Mimecast", "Mimecast", _G, "URL protection of a mail gateway, by its maker's name"),
    _rule("scanner/1", r"MessageLabs|Symantec", "Symantec", _G, "Email Security.cloud, by its maker's name"),
    _rule("scanner/1", r"TrendMicro|Trend Micro", "Trend Micro", _G, "URL check of a mail gateway, by its maker's name"),
    _rule("scanner/1", r"FireEye|Sophos|Forcepoint|Bitdefender|Kaspersky|Fortinet|Zscaler|Cisco-?Talos|IronPort", "Mail gateway", _G,
          "URL check of a mail gateway or virus scanner, by its maker's name"),
    _rule("discovery/1", r"Microsoft Office (?:\w+ )?(?:Existence |Protocol )?Discovery|WebDAV-MiniRedir", "Office", _O,
          "Office asks what lies behind a link before a browser opens it"),
    _rule("preview/1", r"facebookexternalhit|Facebot|Twitterbot|Slackbot|Slack-ImgProxy|SkypeUriPreview|MicrosoftPreview|Discordbot",
          "Chat preview", _D, "fetches links that are shown in a chat; each of them is named in its maker's pages"),
    _rule("preview/1", r"TelegramBot|WhatsApp/|LinkedInBot|line-poker|kakaotalk-scrap|Viber|redditbot|Pinterestbot|vkShare|Iframely",
          "Chat preview", _O, "fetches links that are shown in a chat"),
    _rule("preview/1", r"Google-PageRenderer|Google Web Preview|BingPreview", "Link preview", _O, "renders a page beforehand"),
    _rule("headless/1", r"HeadlessChrome|PhantomJS|Puppeteer|Selenium", "Headless browser", _D, "a browser that no one looks at"),
    _rule("program/1", r"\A(?:curl|Wget|libcurl|python|aiohttp|httpx|Go-http-client|Java/|Apache-HttpClient|libwww-perl|Ruby|axios|node)"
          r"|python-requests|python-httpx|node-fetch|undici|PostmanRuntime|GuzzleHttp|Scrapy", "Program", _D,
          "the default name of a library or tool; no mail program keeps it (okhttp is not here: apps for Android do)"),
    _rule("crawler/1", r"(?<!cu)bot(?:[/;:), -]|\Z)|crawler|spider|AdsBot-Google|GoogleOther|Google-Safety|Y!J-", "Crawler", _D,
          "says of itself that it crawls (CUBOT is a telephone)"),
)  # fmt: skip
"""The first that matches judges."""

CLIENTS = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"Outlook-iOS|Outlook-Android", "Outlook mobile"),
        (r"Microsoft Outlook|OneOutlook/|ms-office|MSOffice|Microsoft Office", "Outlook"),
        (r"Thunderbird", "Thunderbird"),
        (r"DoCoMo/|KDDI-|SoftBank/", "Feature phone"),
        (r"; wv\)", "App on Android"),
        (r"Edg(?:e|A|iOS)?/", "Edge"),
        (r"OPR/|Opera", "Opera"),
        (r"SamsungBrowser/", "Samsung Internet"),
        (r"FxiOS/|Firefox/", "Firefox"),
        (r"CriOS/|Chrome/", "Chrome"),
        (r"Version/[0-9.]+.*Safari/", "Safari"),
        (r"(?:iPhone|iPad|Macintosh).*AppleWebKit/[0-9.]+ \(KHTML, like Gecko\)", "Apple Mail"),
        (r"\AMail/.*CFNetwork/", "Apple Mail"),
        (r"Trident/|MSIE ", "Internet Explorer"),
    )
)


DEVICES = tuple(
    (re.compile(pattern), device)
    for pattern, device in (
        (r"iPad|Tablet|Kindle|Silk/", Device.TABLET),
        (r"iPhone|iPod|Outlook-(?:iOS|Android)|Windows Phone|DoCoMo/|KDDI-|SoftBank/|Android.*Mobile", Device.PHONE),
        (r"Android", Device.TABLET),
        (r"Windows NT|Macintosh|X11|CrOS|Linux|Microsoft Outlook|OneOutlook/|\AMail/.*CFNetwork/.*\((?:x86_64|arm64)\)", Device.COMPUTER),
    )
)


class Verdict(NamedTuple):
    """What the user agent alone says."""

    rule: str
    machine: bool
    client: str | None
    device: Device | None


@lru_cache(maxsize=20_000)
def of_agent(agent: str) -> Verdict:
    """A machine has no device: what it says of itself is made up as often as not. Nor has a provider's proxy."""
    for rule in AGENT_RULES:
        if rule.pattern.search(agent):
            return Verdict(rule.rule, rule.machine, rule.client, None)
    client = next((name for pattern, name in CLIENTS if pattern.search(agent)), None)
    return Verdict(PERSON, False, client, next((device for pattern, device in DEVICES if pattern.search(agent)), None))
