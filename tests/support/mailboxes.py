"""What mail programs, image proxies, scanners and previews ask for when a mail arrives and when a person reads it, as HTTP.

The patterns come from their makers' pages, published observations and, where it says so, from nothing better than a guess; agents were
written down from those sources, not captured from devices.
"""

import http.client
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Truth = Literal["person", "machine"]
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
EDGE = f"{CHROME} Edg/142.0.0.0"
IOS = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
SAFARI = f"{IOS} Version/18.7 Mobile/15E148 Safari/604.1"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
THUNDERBIRD = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.4.0"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
WEBVIEW = (
    "Mozilla/5.0 (Linux; Android 14; SO-51D Build/67.1; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
    "Chrome/142.0.0.0 Mobile Safari/537.36"
)
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
YAHOO = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"
OUTLOOK = "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)"
ALL_LINKS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Asked:
    """One request: link 0 is the beacon."""

    after_s: float
    """since the receiving server accepted the mail"""
    link: int
    agent: str
    truth: Truth
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mailbox:
    """One member's side of one mail."""

    name: str
    basis: Literal["documented", "observed", "guess"]
    asks: Sequence[Asked]
    missed: str = ""
    """why our rules cannot judge this one as it is"""


def _open(after_s: float, agent: str, truth: Truth = "person", **more: str) -> Asked:
    return Asked(after_s, 0, agent, truth, headers=more)


def _click(after_s: float, link: int, agent: str, truth: Truth = "person", method: str = "GET") -> Asked:
    return Asked(after_s, link, agent, truth, method)


def _follows_all(after_s: float, agent: str, method: str = "GET") -> list[Asked]:
    return [_click(after_s + 0.05 * link, link, agent, "machine", method) for link in ALL_LINKS]


MAILBOXES: Sequence[Mailbox] = (
    Mailbox("Apple Mail with privacy protection, never opened", "documented", [_open(1.5, "Mozilla/5.0", "machine")]),
    Mailbox(
        "Apple Mail with privacy protection, prefetched hours later, then a link is clicked", "documented",
        [_open(9_000, "Mozilla/5.0", "machine"), _click(9_400, 2, SAFARI)],
    ),
    Mailbox("iOS Mail without privacy protection", "observed", [_open(600, f"{IOS} Mobile/15E148"), _click(640, 1, SAFARI)]),
    Mailbox("Mail on macOS without privacy protection", "observed", [_open(1_200, MAC)]),
    Mailbox("Gmail, image proxy at opening", "documented", [_open(300, GMAIL), _click(330, 3, CHROME)]),
    Mailbox("Gmail, a sample on arrival, then opened", "observed", [_open(0.8, "Gmail-content-sampling", "machine"), _open(4_000, GMAIL)]),
    Mailbox("Yahoo Mail, image proxy at opening", "documented", [_open(7_200, YAHOO), _click(7_230, 1, FIREFOX)]),
    Mailbox("Outlook for Windows (classic)", "observed", [_open(90, OUTLOOK), _click(120, 4, EDGE)]),
    Mailbox(
        "Outlook for Windows (classic), Office looks before the browser opens", "observed",
        [_open(95, OUTLOOK), _click(130, 4, "Microsoft Office Existence Discovery", "machine", "HEAD"), _click(133, 4, EDGE)],
    ),
    Mailbox("Outlook (new) and Outlook on the web", "observed", [_open(240, f"{EDGE} OneOutlook/1.2025.1103.100"), _click(260, 2, EDGE)]),
    Mailbox("Outlook for Android", "observed", [_open(50, "Outlook-Android/2.0"), _click(70, 5, WEBVIEW)]),
    Mailbox("Thunderbird, pictures allowed; a link clicked twice", "observed",
            [_open(30, THUNDERBIRD), _click(45, 1, FIREFOX), _click(52, 1, FIREFOX)]),
    Mailbox("docomo mail (app on Android)", "guess", [_open(1_800, WEBVIEW), _click(1_830, 3, WEBVIEW)]),
    Mailbox("au mail (app on Android)", "guess", [_open(2_400, WEBVIEW)]),
    Mailbox("docomo feature phone", "guess", [_open(5_000, "DoCoMo/2.0 P903i(c100;TB;W24H12)")]),
    Mailbox("Somebody opens three links in tabs, within ten seconds", "guess",
            [_open(600, THUNDERBIRD), _click(610, 1, FIREFOX), _click(614, 2, FIREFOX), _click(619, 3, FIREFOX)]),
    Mailbox("Barracuda, link protection", "guess",
            [*_follows_all(6, "BarracudaCentral LinkProtect"), _open(3_000, OUTLOOK), _click(3_030, 1, EDGE)]),
    Mailbox("Proofpoint, posing as a browser on arrival", "observed", [_open(0.4, CHROME, "machine"), *_follows_all(0.6, CHROME)]),
    Mailbox("Mimecast, HEAD of every link", "guess", _follows_all(12, CHROME, "HEAD")),
    Mailbox("Microsoft Defender Safe Links, every link minutes later, as Edge", "observed", _follows_all(420, EDGE)),
    Mailbox("Virus scanner on the member's computer, HEAD before the browser", "guess",
            [_open(800, THUNDERBIRD), _click(829, 2, FIREFOX, "machine", "HEAD"), _click(830, 2, FIREFOX)]),
    Mailbox("Slack, a forwarded link is shown in a channel", "documented",
            [_open(60, THUNDERBIRD), _click(300, 1, "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "machine")]),
    Mailbox("Teams, a forwarded link is shown in a chat", "observed",
            [_click(900, 1, "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 SkypeUriPreview Preview/0.5", "machine")]),
    Mailbox("LINE, a forwarded link is shown in a talk", "observed",
            [_click(950, 1, "facebookexternalhit/1.1;line-poker/1.0", "machine"), _click(990, 1, SAFARI)]),
    Mailbox("A browser that fetches links in advance", "documented",
            [Asked(500, 2, CHROME, "machine", headers={"Sec-Purpose": "prefetch;prerender"}), _click(504, 2, CHROME)]),
    Mailbox("A script of somebody's", "documented", [_open(70, "curl/8.14.1", "machine"), _click(71, 1, "python-requests/2", "machine")]),
    Mailbox("A gateway that names no agent", "guess", [_open(40, "", "machine"), _click(41, 1, "", "machine")]),
    Mailbox(
        "Reading pane is open while the mail arrives", "guess", [_open(1.1, OUTLOOK)],
        missed="nobody can tell it from a scanner on arrival; the open is missing among the people's",
    ),
    Mailbox(
        "Safe Links, one link when the member clicks, as Edge", "observed", [_click(5_000, 1, EDGE, "machine"), _click(5_002, 1, EDGE)],
        missed="a single fetch from a browser's agent; where it is more than a second ahead, the member's click counts twice",
    ),
)  # fmt: skip


def send(port: int, mailbox: Mailbox, paths: Callable[[int], str], clock: Callable[[float], None]) -> None:
    """paths: of a link's number, 0 of the beacon. clock: is told the time of each request before it goes out."""
    for asked in mailbox.asks:
        clock(asked.after_s)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.putrequest(asked.method, paths(asked.link), skip_accept_encoding=True)
            for name, value in {"User-Agent": asked.agent, **asked.headers}.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        expected = 302 if asked.link else 200
        assert answer.status == expected, (mailbox.name, asked, answer.status)
