"""A person's word on deliveries of unknown outcome, carried out in pieces, each with its entry in the audit log."""

from collections.abc import Sequence

from kairan import audit, clock
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.runtime import Runtime
from mailer.campaigns import lifecycle
from mailer.delivery import jobs as sending
from mailer.delivery import uncertain


class CampaignOver(Exception):
    """A cancelled campaign sends nothing again."""


def decide(ground: Runtime, campaign_id: int, *, again: bool, actor: str, numbers: Sequence[int] | None = None) -> int:
    """These uncertain deliveries of a campaign, or all: sent again, or taken as arrived. Returns how many. Raises CampaignOver."""
    decided = 0
    while count := _piece(ground, campaign_id, again, actor, numbers):
        decided += count
    if again and decided:
        sending.ring(ground, campaign_id)
    return decided


def _piece(ground: Runtime, campaign_id: int, again: bool, actor: str, numbers: Sequence[int] | None) -> int:
    with ground.writing() as session:
        now = clock.now()
        if not again:
            count = uncertain.mark_arrived(session, campaign_id, numbers)
        elif session.get_one(Campaign, campaign_id).status == CampaignStatus.CANCELLED:
            raise CampaignOver
        else:
            count = uncertain.send_again(session, campaign_id, now, numbers)
            if count:
                lifecycle.reopen(session, campaign_id, now=now)
        if count:
            audit.note(session, actor, f"delivery.{'again' if again else 'arrived'}", campaign_id, {"deliveries": count}, now)
    return count
