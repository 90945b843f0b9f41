"""What a member wills: the only writer of permissions, subscriptions and members' choices, each change with its row in the ledger.

Every function locks the member row first (DESIGN.md "Every no of a member"). The caller commits, then calls
`waiting.wait_for_gated` before it answers: from that answer on no mail starts against what was written here.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from kairan import installation
from kairan.models.audience import List, Member, Purpose, Subscription
from kairan.models.consent import ConsentAct, ConsentRow, ConsentSource
from kairan.models.suppression import Suppression, SuppressionReason
from kairan.sql import insert
from unsubscribe import choice_words, choices, domains, holdings, leaving, ledger, moving, suppression, topics
from unsubscribe.choices import NotPossible
from unsubscribe.ledger import NO_EVIDENCE, OWN_DOORS, Evidence, UnknownMember, hold

__all__ = ["OWN_DOORS", "NotPossible", "UnknownMember"]


class UnknownList(LookupError):
    """There is no such list."""


class LeftByThemselves(ValueError):
    """The member ended this topic by their own act; only a new consent puts them back."""


# ---- yes


def opt_in(
    session: Session,
    member_id: int,
    list_id: int,
    *,
    source: ConsentSource,
    wording: str,
    now: datetime,
    happened_at: datetime | None = None,
    campaign_id: int | None = None,
    detail: dict[str, Any] | None = None,
    evidence: Evidence = NO_EVIDENCE,
) -> None:
    """The member agreed to these words for this list and its purpose. A suppression stays, whatever was agreed to. Raises UnknownList."""
    member, topic = hold(session, member_id), _list(session, list_id)
    holdings.subscribe(session, member_id, list_id, now=now)
    holdings.permit(session, member_id, topic.purpose_id, given_at=happened_at or now)
    ledger.write(
        session,
        member,
        ConsentAct.OPT_IN,
        source,
        purpose_id=topic.purpose_id,
        list_id=list_id,
        campaign_id=campaign_id,
        wording_id=ledger.wording(session, wording, now=now),
        happened_at=happened_at,
        detail=detail,
        evidence=evidence,
        now=now,
    )


def put_in_list(session: Session, member_id: int, list_id: int, *, now: datetime) -> bool:
    """Puts a member in a list without any consent. False: already in it. Raises LeftByThemselves, UnknownList, UnknownMember."""
    hold(session, member_id)
    _list(session, list_id)
    found = session.get(Subscription, (member_id, list_id), populate_existing=True)
    if found is not None and found.ended_at is None:
        return False
    if found is not None and session.execute(select(own_no(list_id).where(ConsentRow.member_id == member_id).exists())).scalar_one():
        raise LeftByThemselves(list_id)
    holdings.subscribe(session, member_id, list_id, now=now)
    return True


def own_no(list_id: int) -> Select[int]:
    """Ledger rows by which members ended this topic themselves."""
    return select(ConsentRow.id).where(
        ConsentRow.list_id == list_id, ConsentRow.act == ConsentAct.OPT_OUT, ConsentRow.source.in_(OWN_DOORS)
    )


# ---- no


def one_click(
    session: Session,
    member_id: int,
    *,
    source: ConsentSource,
    campaign_id: int | None,
    now: datetime,
    evidence: Evidence = NO_EVIDENCE,
) -> bool:
    """What the link in every mail does: ends all marketing mail, or only the campaign's topics (setting `one_click_scope`).

    False if it had ended already: a mail client may repeat the POST (RFC 8058) and gets the same answer.
    """
    if installation.get(session, "one_click_scope") == "list" and topics.has_any(session, campaign_id):
        return bool(leave_topics(session, member_id, source=source, campaign_id=campaign_id, now=now, evidence=evidence))
    return leave_all(session, member_id, source=source, campaign_id=campaign_id, now=now, evidence=evidence)


def leave_all(
    session: Session,
    member_id: int,
    *,
    source: ConsentSource,
    now: datetime,
    campaign_id: int | None = None,
    evidence: Evidence = NO_EVIDENCE,
) -> bool:
    """No marketing mail any more. Lists and permissions stay as they are, below the suppression, so that an undo restores exactly.

    False: the member had left already.
    """
    member = hold(session, member_id)
    if leaving.has_left(session, member):
        return False
    suppression.suppress_address(
        session,
        member.address_key,
        SuppressionReason.UNSUBSCRIBED,
        member_id=member_id,
        campaign_id=campaign_id,
        source=source,
        actor="member",
        now=now,
    )
    # Also where a bounce or complaint stands there already: the no must outlive it (suppression.release).
    wording_id = _read(session, source, str(choice_words.LEAVE_ALL), now)
    ledger.write(session, member, ConsentAct.LEAVE_ALL, source, campaign_id=campaign_id, wording_id=wording_id, evidence=evidence, now=now)
    return True


def opt_out(
    session: Session,
    member_id: int,
    list_id: int,
    *,
    source: ConsentSource,
    now: datetime,
    campaign_id: int | None = None,
    evidence: Evidence = NO_EVIDENCE,
) -> bool:
    """Ends one topic; with the last topic of a purpose its permission ends too. False: not in the list. Raises UnknownList."""
    member, topic = hold(session, member_id), _list(session, list_id)
    ended = session.execute(
        update(Subscription)
        .where(Subscription.member_id == member_id, Subscription.list_id == list_id, Subscription.ended_at.is_(None))
        .values(ended_at=now)
        .returning(Subscription.list_id)
    ).one_or_none()
    if ended is None:
        return False
    is_last = not holdings.has_other_topic(session, member_id, topic.purpose_id)
    withdrawn = is_last and holdings.withdraw(session, member_id, topic.purpose_id, now)
    ledger.write(
        session,
        member,
        ConsentAct.OPT_OUT,
        source,
        purpose_id=topic.purpose_id,
        list_id=list_id,
        campaign_id=campaign_id,
        wording_id=_read(session, source, topics.ending(topic), now),
        detail={"permission": "withdrawn"} if withdrawn else {},
        evidence=evidence,
        now=now,
    )
    return True


def leave_topics(
    session: Session,
    member_id: int,
    *,
    source: ConsentSource,
    campaign_id: int | None,
    now: datetime,
    evidence: Evidence = NO_EVIDENCE,
) -> list[int]:
    """Ends the campaign's topics that the member is in; their ids."""
    hold(session, member_id)
    wanted = [topic.id for topic in topics.of_campaign(session, member_id, campaign_id)]
    for list_id in wanted:
        opt_out(session, member_id, list_id, source=source, campaign_id=campaign_id, evidence=evidence, now=now)
    return wanted


# ---- taking it back


def come_back(
    session: Session,
    member_id: int,
    *,
    source: ConsentSource,
    now: datetime,
    campaign_id: int | None = None,
    evidence: Evidence = NO_EVIDENCE,
) -> bool:
    """Takes back a no to all mail, or to this campaign's topics: what held before holds again. False: there was no such no.

    A bounce, complaint or staff's entry stays: it was not the member who made it. After a complaint that they ask again is written, and
    staff can take it off then (suppression.release).
    """
    member = hold(session, member_id)
    if not may_ask_again(session, member) and not leaving.has_left(session, member):
        return _rejoin(session, member, source=source, campaign_id=campaign_id, evidence=evidence, now=now)
    session.execute(
        delete(Suppression).where(Suppression.address_key == member.address_key, Suppression.reason == SuppressionReason.UNSUBSCRIBED)
    )
    wording_id = _read(session, source, str(choice_words.RETURN), now)
    ledger.write(session, member, ConsentAct.RETURN, source, campaign_id=campaign_id, wording_id=wording_id, evidence=evidence, now=now)
    return True


def _rejoin(session: Session, member: Member, *, source: ConsentSource, campaign_id: int | None, evidence: Evidence, now: datetime) -> bool:
    rows = topics.ended_through(session, member.id, campaign_id)
    for row in rows:
        holdings.subscribe_again(session, member.id, row.list_id)
        if row.detail.get("permission") == "withdrawn":
            holdings.permit_again(session, member.id, row.purpose_id)
        ledger.write(
            session,
            member,
            ConsentAct.RETURN,
            source,
            purpose_id=row.purpose_id,
            list_id=row.list_id,
            campaign_id=campaign_id,
            wording_id=_read(session, source, str(choice_words.RETURN), now),
            evidence=evidence,
            now=now,
        )
    return bool(rows)


# ---- choices


def choose(
    session: Session,
    member_id: int,
    *,
    source: ConsentSource,
    now: datetime,
    format: str | None = None,
    recording: str | None = None,
    frequency: str | None = None,
    language: str | None = None,
    lists: Collection[int] | None = None,
    campaign_id: int | None = None,
    evidence: Evidence = NO_EVIDENCE,
) -> dict[str, list[Any]]:
    """Sets what is given; what is None stays. Returns field → [before, after] of what changed.

    `frequency` is a rhythm or a pause from now on; `lists` is the whole set of topics wanted. Raises NotPossible before anything
    is written.
    """
    member = hold(session, member_id)
    choices.check("format", format, choices.FORMATS)
    choices.check("recording", recording, choices.RECORDINGS)
    choices.check("frequency", frequency, choices.FREQUENCIES)
    choices.check("language", language, choices.LANGUAGES)
    offered = {topic.id: topic for topic in topics.offered(session, member_id)} if lists is not None else {}
    if not set(lists or ()) <= offered.keys():
        raise NotPossible("lists", [str(list_id) for list_id in offered])
    given = {"frequency": frequency, "format": format, "recording": recording, "language": language}
    changes = choices.set_fields(session, member, now, **given)
    if changes:
        member.updated_at = now
        ledger.write(
            session,
            member,
            ConsentAct.CHOOSE,
            source,
            campaign_id=campaign_id,
            wording_id=_read(session, source, choice_words.said(given, changes), now),
            detail=changes,
            evidence=evidence,
            now=now,
        )
    if lists is not None and (moved := _set_topics(session, member_id, offered.values(), set(lists), source, campaign_id, evidence, now)):
        changes["lists"] = moved
    return changes


def _set_topics(
    session: Session,
    member_id: int,
    offered: Iterable[topics.Topic],
    wanted: set[int],
    source: ConsentSource,
    campaign_id: int | None,
    evidence: Evidence,
    now: datetime,
) -> list[list[int]]:
    """Opts in and out until the member's topics are these; [before, after], empty if nothing changed."""
    before = [topic.id for topic in offered if topic.chosen]
    for topic in offered:
        if topic.id in wanted and not topic.chosen:
            said = topics.wording(topic)
            opt_in(session, member_id, topic.id, source=source, wording=said, campaign_id=campaign_id, evidence=evidence, now=now)
        elif topic.id not in wanted:
            opt_out(session, member_id, topic.id, source=source, campaign_id=campaign_id, evidence=evidence, now=now)
    return [before, sorted(wanted)] if set(before) != wanted else []


def suspend(session: Session, member_id: int, *, source: ConsentSource, now: datetime) -> bool:
    """All use of the member's data stops, the row stays (利用停止). False: already suspended."""
    member = hold(session, member_id)
    if member.suspended_at is not None:
        return False
    member.suspended_at = member.updated_at = now
    ledger.write(session, member, ConsentAct.SUSPEND, source, now=now)
    return True


def resume(session: Session, member_id: int, *, source: ConsentSource, now: datetime) -> bool:
    member = hold(session, member_id)
    if member.suspended_at is None:
        return False
    member.suspended_at, member.updated_at = None, now
    ledger.write(session, member, ConsentAct.RESUME, source, now=now)
    return True


def erase(session: Session, member_id: int, *, source: ConsentSource, now: datetime) -> None:
    """The member's row goes, with lists and permissions. What stays under the keyed hash: that it may not come back, and the ledger."""
    member = hold(session, member_id)
    suppression.suppress_address(session, member.address_key, SuppressionReason.ERASED, source=source, now=now)
    leaving.forget(session, member_id)
    moving.forget(session, member)
    ledger.write(session, member, ConsentAct.ERASE, source, now=now)
    session.delete(member)
    session.flush()


# ---- what holds now


def gets_no_mail(session: Session, member: Member) -> bool:
    return suppression.reason_of(session, member.address_key) is not None or domains.holds(session, member.email)


def may_come_back(session: Session, member: Member) -> bool:
    """The no is the member's own and nothing else stands in the way."""
    return not domains.holds(session, member.email) and suppression.reason_of(session, member.address_key) == SuppressionReason.UNSUBSCRIBED


def may_ask_again(session: Session, member: Member) -> bool:
    """A complaint stands, and the member has not asked for mail since."""
    entry = session.get(Suppression, member.address_key)
    return entry is not None and entry.reason == SuppressionReason.COMPLAINT and not suppression.has_asked_again(session, entry)


def purpose(session: Session, name: str, *, now: datetime) -> int:
    """The id of the purpose with these words; equal words are one purpose."""
    session.execute(insert(session, Purpose).values(name=name, created_at=now).on_conflict_do_nothing())
    return session.execute(select(Purpose.id).where(Purpose.name == name)).scalar_one()


def _read(session: Session, source: ConsentSource, words: str, now: datetime) -> int | None:
    """The wording of an act on our own page. Staff and programs choose for somebody, and a mail program shows words of its own."""
    return ledger.wording(session, words, now=now) if source == ConsentSource.PAGE else None


def _list(session: Session, list_id: int) -> List:
    found = session.get(List, list_id)
    if found is None:
        raise UnknownList(list_id)
    return found
