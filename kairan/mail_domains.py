"""Named groups of recipient domains: big mailbox providers and Japanese carriers, as a ready table.

None of them publishes a figure in mails a second. What they do publish is the advice to go slowly, to open few connections and to
grow step by step (the `source` of each group), so the rates here are ours: careful ones for a sender whose reputation is still new.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Recipient domains that share one rate; a domain below one of them belongs to it too."""

    label: str
    domains: tuple[str, ...]
    rate: float
    """mails a second"""
    source: str


READY: dict[str, Group] = {
    "docomo": Group(
        "NTT docomo", ("docomo.ne.jp",), 5.0, "https://www.nttdocomo.co.jp/service/communication/imode_mail/notice/mass_send/index.html"
    ),  # "a fitting number of SMTP sessions", refuses for a time after many at once
    "au": Group(
        "au, UQ mobile, povo", ("au.com", "ezweb.ne.jp", "uqmobile.jp"), 5.0, "https://www.au.com/mobile/service/mail/attention/request/"
    ),  # "take as much time as you can"
    "softbank": Group(
        "SoftBank, Y!mobile",
        ("softbank.ne.jp", "i.softbank.jp", "vodafone.ne.jp", "disney.ne.jp", "ymobile.ne.jp", "yahoo.ne.jp", "emnet.ne.jp", "willcom.com"),
        5.0,
        "https://www.softbank.jp/mobile/support/antispam/wrestle/",
    ),  # "spread a large mailing over time"
    "rakuten": Group("Rakuten Mobile", ("rakumail.jp",), 5.0, "https://network.mobile.rakuten.co.jp/service/rakumail/"),
    "google": Group(
        "Gmail", ("gmail.com", "googlemail.com"), 20.0, "https://support.google.com/a/answer/81126"
    ),  # "increase the sending volume slowly", measured per IP address and per domain
    "microsoft": Group(
        "Outlook.com", ("outlook.com", "outlook.jp", "hotmail.com", "hotmail.co.jp", "live.com", "live.jp", "msn.com"), 10.0,
        "https://sendersupport.olc.protection.outlook.com/pm/policies.aspx",
    ),  # at most 500 connections at once, fewer for new addresses
    "yahoo": Group(
        "Yahoo, AOL", ("yahoo.com", "ymail.com", "rocketmail.com", "aol.com"), 10.0, "https://senders.yahooinc.com/best-practices/"
    ),  # no more than 20 messages a connection, then a new one
    "yahoo_japan": Group("Yahoo! JAPAN", ("yahoo.co.jp", "ybb.ne.jp"), 10.0, "https://support.yahoo-net.jp/PccMail/s/"),
    "apple": Group("iCloud", ("icloud.com", "me.com", "mac.com"), 10.0, "https://support.apple.com/en-us/102322"),
}  # fmt: skip
