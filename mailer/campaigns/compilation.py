"""A revision becomes programs and numbered links, once, and both are stored: what goes out is what was compiled."""

from dataclasses import replace
from urllib.parse import urlsplit

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from kairan import installation
from kairan.models import campaigns as rows
from kairan.models.audience import Attribute, List, Recording
from kairan.models.campaigns import Campaign, CampaignList
from kairan.sql import insert, locked
from mailer.campaigns import library, revisions, versions
from mailer.compose import compiler, kinds
from mailer.compose.brand import Shared
from mailer.compose.compiler import Organisation, Source
from mailer.compose.findings import ContentError
from mailer.delivery import signing, splits


def source_of(session: Session, campaign: Campaign, base_url: str, version: str = versions.MAIN) -> Source:
    """Everything the compiler needs to know about a version of the campaign's current revision. Raises VersionError."""
    number = campaign.revision
    revision = versions.effective(revisions.content_of(revisions.current(session, campaign)), version)
    organisation = installation.get(session, "organisation")
    first_list = _first_list(session, campaign.id)
    host = urlsplit(base_url).hostname or "localhost"
    domain = revision.from_email.rpartition("@")[2] or host
    shared = library.shared(session)
    html, fault = html_of(revision.kind, revision.content, base_url, revision.subject, shared)
    return Source(
        campaign_id=campaign.id,
        campaign_name=campaign.name,
        revision=number,
        subject=revision.subject,
        preheader=revision.preheader,
        from_name=revision.from_name,
        from_email=revision.from_email,
        reply_to=revision.reply_to,
        html=html,
        fault=fault,
        text=revision.content if revision.kind == "text" else revision.text,
        record_opens=campaign.record_opens and campaign.recording != Recording.NONE,
        record_clicks=campaign.record_clicks and campaign.recording != Recording.NONE,
        organisation=Organisation(organisation["name"], organisation["address"], organisation["contact"], shared.brand),
        base_url=base_url,
        list_id=f"list{first_list.id if first_list else 0}.{host}",
        list_name=first_list.name if first_list else organisation["name"],
        unsubscribe_mailto=None,
        attribute_names=frozenset(session.execute(select(Attribute.name)).scalars()),
        message_domain=domain,
        shared=shared,
        first_link=_next_link(session, campaign.id, number),
    )


def version_for(session: Session, campaign: Campaign, language: str, number: int | None = None) -> str:
    """The version that a member of this language got, by the number of their delivery; without one the winner's, else A's."""
    content = revisions.content_of(revisions.current(session, campaign))
    known = versions.variants(content)
    split = splits.of(campaign.trial, len(known))
    place = split.variant_of(number) if split and number else split.winner if split else 0
    return versions.join(known[place or 0], language if language in versions.languages(content) else "")


def first_version(session: Session, campaign: Campaign) -> str:
    """The one whose links have the first numbers."""
    return versions.parts(revisions.content_of(revisions.current(session, campaign)))[0].key


def html_of(kind: str, content: str, base_url: str, title: str, shared: Shared) -> tuple[str | None, ContentError | None]:
    """The content as HTML, or why it is none. The pages of the installation's pictures lie under its own address."""
    try:
        return kinds.as_html(kind, content, picture_base=base_url, title=title, shared=shared), None
    except ContentError as error:
        return None, error


def mailed_source(session: Session, campaign: Campaign, base_url: str, version: str = versions.MAIN) -> Source:
    """The same for mails that leave the house: links, and pictures that lie here, on the sender's own link host where it has one."""
    source = source_of(session, campaign, base_url, version)
    links = signing.link_base(session, source.from_email, base_url)
    html = source.html.replace(f"{base_url}/m/", f"{links}/m/") if source.html else source.html
    return replace(source, base_url=links, html=html)


def _first_list(session: Session, campaign_id: int) -> List | None:
    return session.execute(
        select(List)
        .join(CampaignList, CampaignList.list_id == List.id)
        .where(CampaignList.campaign_id == campaign_id, CampaignList.excluded.is_(False))
        .order_by(List.id)
        .limit(1)
    ).scalar_one_or_none()


def _next_link(session: Session, campaign_id: int, revision: int) -> int:
    """Numbers of earlier revisions are never used again: mails that are out point at them."""
    used = session.execute(
        select(func.max(rows.Link.number)).where(rows.Link.campaign_id == campaign_id, rows.Link.revision != revision)
    ).scalar_one()
    return (used or 0) + 1


def compile_campaign(session: Session, campaign: Campaign, base_url: str) -> int:
    """Compiles and stores the current revision unless that is done already. Returns the number of links. Raises MergeError."""
    session.execute(locked(select(Campaign.id).where(Campaign.id == campaign.id), session))  # two starters take turns
    done = session.execute(
        select(func.count()).where(rows.Program.campaign_id == campaign.id, rows.Program.revision == campaign.revision)
    ).scalar_one()
    if done:
        return 0
    session.execute(delete(rows.Link).where(rows.Link.campaign_id == campaign.id, rows.Link.revision == campaign.revision))
    first_link = _next_link(session, campaign.id, campaign.revision)
    links = 0
    for part in versions.parts(revisions.content_of(revisions.current(session, campaign))):
        source = replace(mailed_source(session, campaign, base_url, part.key), first_link=first_link + links)
        compiled = compiler.compile_source(source)
        _keep(session, campaign, part, compiled)
        links += len(compiled.links)
    session.flush()
    return links


def _keep(session: Session, campaign: Campaign, part: versions.Part, compiled: compiler.Compiled) -> None:
    for (kind, language), program in compiled.programs.items():
        if language not in part.languages:
            continue
        session.execute(
            insert(session, rows.Program)
            .values(
                campaign_id=campaign.id,
                revision=campaign.revision,
                variant=part.variant,
                language=language,
                format=kind,
                body=program.to_json(),
            )
            .on_conflict_do_nothing()
        )
    session.add_all(
        rows.Link(
            campaign_id=campaign.id, number=link.number, revision=campaign.revision, kind=link.kind, label=link.label[:2_000], url=link.url
        )
        for link in compiled.links
    )
