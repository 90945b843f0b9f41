"""The headers of a campaign's mails (RFC 5322, 2919, 2369, 8058) as nodes, one header a line or folded."""

import re

from kairan.i18n import gettext as _
from mailer.compose.findings import ContentError
from mailer.compose.mail_headers import FOLD, LINE_MAX, mailbox, unstructured
from mailer.compose.nodes import HeaderText, Mark, Node, Nodes, Text, ToHeader, joined
from mailer.compose.program import render_text
from mailer.compose.recipient import Recipient
from mailer.compose.source import Source, subject
from mailer.compose.standins import written_constants
from unsubscribe.headers import ONE_CLICK, list_unsubscribe

_TOKEN_PLACE = "0TOKEN0"
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_BASE_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+(?:/[A-Za-z0-9._~/-]*)?")
_MAILTO = re.compile(r"[A-Za-z0-9.+_-]+@[A-Za-z0-9.-]+")
_NOBODY = Recipient(0, 0, "", "", "", "", {})


def headers(source: Source, content: str) -> Nodes:
    """All headers up to and with the blank line before the body; `content` is the Content-Type and what belongs to it."""
    _check(source)
    nodes: list[Node] = [
        Text(f"From: {mailbox(source.from_name, source.from_email, len('From: '))}\r\n"),
        Text(f"Reply-To: {mailbox('', source.reply_to, len('Reply-To: '))}\r\n" if source.reply_to else ""),
        Text("To: "),
        ToHeader(),
        Text("\r\nSubject: "),
        _subject(source),
        Text("\r\nDate: "),
        Mark("date", wrapped=False),
        Text("\r\nMessage-ID: <"),
        Mark("message_id", wrapped=False),
        Text(f"@{source.message_domain}>\r\n"),
        *_unsubscribe(source),
        Text(f"List-ID: {_list_id(source)}\r\nFeedback-ID: {_feedback_id(source)}\r\nMIME-Version: 1.0\r\n{content}\r\n\r\n"),
    ]
    return joined(nodes)


def _check(source: Source) -> None:
    if not _BASE_URL.fullmatch(source.base_url) or source.base_url.endswith("/"):
        raise ContentError("base_url", _("The address of this installation is not valid."), "base_url")
    for domain in (source.message_domain, source.list_id):
        if not _DOMAIN.fullmatch(domain):
            raise ContentError("domain", _("`%(domain)s` is not a domain.", domain=domain), "from_email")
    if source.unsubscribe_mailto and not _MAILTO.fullmatch(source.unsubscribe_mailto):
        raise ContentError("unsubscribe_mailto", _("The address for opt-outs by mail is not valid."), "unsubscribe_mailto")


def _subject(source: Source) -> Node:
    nodes = written_constants(subject(source))
    if any(not isinstance(node, Text) for node in nodes):
        return HeaderText(nodes, len("Subject: "))
    return Text(unstructured(render_text(nodes)(_NOBODY), len("Subject: ")))


def _unsubscribe(source: Source) -> list[Node]:
    value = list_unsubscribe(f"{source.base_url}/u/{_TOKEN_PLACE}", source.unsubscribe_mailto, _TOKEN_PLACE)
    first, *others = value.split(_TOKEN_PLACE)
    nodes: list[Node] = [Text(f"List-Unsubscribe: {first}")]
    for part in others:
        nodes += [Mark("act", wrapped=False), Text(part)]
    return [*nodes, Text(f"\r\nList-Unsubscribe-Post: {ONE_CLICK}\r\n")]


def _list_id(source: Source) -> str:
    """RFC 2919: a phrase and `<label.domain>`, which has no @ and so is written beside mailbox()."""
    name = mailbox(source.list_name, "a@b.c", len("List-ID: ")).removesuffix("<a@b.c>").removesuffix("a@b.c").rstrip()
    if not name:
        return f"<{source.list_id}>"
    last_line = name.rpartition("\n")[2]
    fits = len("List-ID: ") + len(last_line) + len(source.list_id) + 3 <= LINE_MAX
    return f"{name}{' ' if fits else FOLD}<{source.list_id}>"


def _feedback_id(source: Source) -> str:
    """Gmail's feedback loop: up to three of our names, then the sender's, 5 to 15 characters and the same in every mail."""
    sender = re.sub(r"[^a-z0-9]", "", source.message_domain.lower())[-15:].rjust(5, "0")
    return f"{source.campaign_id}:{re.sub(r'[^A-Za-z0-9]', '', source.list_id.split('.')[0])[:30]}:campaign:{sender}"
