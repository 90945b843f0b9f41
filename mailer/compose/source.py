"""All that a campaign's mails are made from, as plain values: no row, no request."""

from dataclasses import dataclass, field

from kairan.i18n import gettext as _
from mailer.compose import merge
from mailer.compose.brand import NOTHING, Shared
from mailer.compose.findings import ContentError
from mailer.compose.footer import Organisation
from mailer.compose.merge import Scope
from mailer.compose.nodes import Nodes


@dataclass(frozen=True, slots=True)
class Source:
    """One revision of a campaign, with what its installation adds. `html` or `text` is given, or both."""

    campaign_id: int
    campaign_name: str
    revision: int
    subject: str
    preheader: str
    from_name: str
    from_email: str
    reply_to: str | None
    html: str | None
    text: str | None
    record_opens: bool
    record_clicks: bool
    organisation: Organisation
    base_url: str
    list_id: str
    """such as `news.3.example.org`"""
    list_name: str
    unsubscribe_mailto: str | None
    message_domain: str
    attribute_names: frozenset[str] = field(default_factory=frozenset)
    fault: ContentError | None = None
    """why the content could not be made into HTML: raised by whoever would compile it"""
    shared: Shared = field(default=NOTHING, hash=False)
    """what blocks may refer to"""
    first_link: int = 1
    """the number of the first link position: numbers are never used twice within a campaign"""

    @property
    def has_html(self) -> bool:
        return self.fault is not None or bool(self.html and self.html.strip())

    @property
    def has_text(self) -> bool:
        return bool(self.text and self.text.strip())


def subject(source: Source) -> Nodes:
    """Raises ContentError for an empty subject, MergeError for a wrong field."""
    if not source.subject.strip():
        raise ContentError("empty_subject", _("The subject is empty."), "subject")
    known = Scope(source.attribute_names, constants(source.campaign_name, source.organisation))
    return merge.parse(source.subject, known, "subject", "header")


def scope(source: Source) -> Scope:
    """The names that may be used in the content. A subject that is wrong is reported as the subject's own error."""
    try:
        known = subject(source)
    except ContentError:
        known = ()
    return Scope(source.attribute_names, constants(source.campaign_name, source.organisation), known)


def constants(campaign_name: str, organisation: Organisation) -> dict[str, str]:
    """The fields that say the same in each mail of a campaign."""
    return {
        "campaign.name": campaign_name,
        "organisation.name": organisation.name,
        "organisation.address": organisation.address,
        "organisation.contact": organisation.contact,
    }
