"""What stops a campaign by itself: a server that refuses the sender or its policy, a login that is refused, a broken provider."""

from collections import deque
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Provider
from mailer.delivery import outcomes, providers
from mailer.delivery.outcomes import ACCEPTED_250, Outcome
from mailer.delivery.smtp import ProviderTrouble

WINDOW = 200
POLICY_SHARE_MAX = 0.05


class Recent:
    """The last 200 verdicts of a lane."""

    def __init__(self) -> None:
        self._policy: deque[bool] = deque(maxlen=WINDOW)
        self._refused = 0
        self.detail: str | None = None

    def add(self, outcome: Outcome) -> str | None:
        """The reason to pause (a key of mailer.campaigns.lifecycle.PAUSE_REASONS), or None."""
        if outcome.code is None:
            return None
        if len(self._policy) == WINDOW:
            self._refused -= self._policy[0]
        if outcome is ACCEPTED_250:
            self._policy.append(False)
            return None
        self._policy.append(outcome.is_policy)
        self._refused += outcome.is_policy
        if outcome.blames_sender:
            self.detail = f"{outcome.code} {outcome.text}"
            return "sender_refused"
        if outcome.is_policy and len(self._policy) >= 20 and self._refused > POLICY_SHARE_MAX * len(self._policy):
            self.detail = f"{outcome.code} {outcome.text}"
            return "policy"
        return None


def pause(session: Session, campaign_id: int, reason: str, detail: str | None, now: datetime) -> bool:
    """Pauses a sending campaign for a reason of the system's own; a person resumes it."""
    found = session.execute(
        update(Campaign)
        .where(Campaign.id == campaign_id, Campaign.status == CampaignStatus.SENDING)
        .values(status=CampaignStatus.PAUSED, paused_reason=reason, paused_detail=(detail or "")[:500], updated_at=now)
        .returning(Campaign.id)
    )
    return found.one_or_none() is not None


def provider_fails(session: Session, *, campaign_id: int, provider_id: int, trouble: ProviderTrouble, now: datetime) -> None:
    """Opens the breaker; a refused login pauses the campaign, since waiting does not mend a password, unless another provider sends on."""
    why = outcomes.printable(trouble.why)
    providers.open_breaker(session, provider_id, why, now)
    session.flush()
    if trouble.refused_login and not providers.available(session, now):
        pause(session, campaign_id, "login_refused", why, now)


def provider_works(session: Session, *, provider_id: int) -> None:
    provider = session.get_one(Provider, provider_id)
    if provider.breaks or provider.last_error:
        providers.close_breaker(provider)
