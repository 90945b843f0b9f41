"""The wait that makes "answered 200" mean "nothing starts after this".

A no of a member is written under the member's lock; a gate that committed before it may still have 0.8 s to begin its mail. So whoever
writes a no commits, waits here while a row of the member is sending, 1.1 s at most by its own clock, and only then answers. No clocks
are compared (DESIGN.md "Every no of a member"; 3,000 forced races of the prototype: 0 mails after the answer, 8 without the wait).
"""

import time

from sqlalchemy import Select, and_, select

from kairan.database import Database
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Chunk, Delivery, State

LONGEST_S = 1.1
_POLL_S = 0.01


def wait_for_gated(database: Database, member_id: int) -> None:
    """Call after the commit of the no and before its answer."""
    _wait(database, select(Delivery.number).where(Delivery.member_id == member_id, Delivery.state == State.SENDING))


def wait_until_quiet(database: Database, campaign_id: int) -> None:
    """The same for a pause or cancel: until no row of the campaign is sending, 1.1 s at most."""
    # Only chunks that a lane holds can have a row that is sending; without them each look would read the whole campaign.
    _wait(
        database,
        select(Delivery.number)
        .join(Chunk, and_(Chunk.campaign_id == Delivery.campaign_id, Delivery.number.between(Chunk.first, Chunk.last)))
        .where(Delivery.campaign_id == campaign_id, Chunk.lane_id.is_not(None), Delivery.state == State.SENDING),
    )


def wait_out(database: Database) -> None:
    """For a no of many members at once, which locks none of them: a gate that read before its commit has begun its mails in 1.1 s."""
    with database.reading() as session:
        is_sending = session.execute(select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING).limit(1)).first()
    if is_sending is not None:
        time.sleep(LONGEST_S)


def _wait(database: Database, sending: Select[int]) -> None:
    until = time.monotonic() + LONGEST_S
    while True:
        with database.reading() as session:
            found = session.execute(sending.limit(1)).one_or_none()
        if found is None or time.monotonic() >= until:
            return
        time.sleep(min(_POLL_S, max(until - time.monotonic(), 0)))
