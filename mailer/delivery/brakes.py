"""What stops a campaign by itself: a server that refuses us, too many dead addresses or complaints, a machine without room or time."""

from collections import deque
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Delivery, Provider, State
from kairan.models.suppression import Suppression, SuppressionReason
from mailer.delivery import outcomes, providers
from mailer.delivery.outcomes import ACCEPTED_250, Outcome
from mailer.delivery.smtp import ProviderTrouble

WINDOW = 200
POLICY_SHARE_MAX = 0.05
POLICY_MIN = 20
"""verdicts before a share says something: a first mail that is refused is not a reason"""
BOUNCE_SHARE_MAX = 0.05
BOUNCE_MIN = 100
COMPLAINT_SHARE_MAX = 0.003
"""Gmail's and Yahoo's limit for bulk senders (their sender guidelines of 2024)"""
COMPLAINT_MIN = 5


class _Share:
    """How many of the last 200 were so."""

    def __init__(self) -> None:
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._count = 0

    def add(self, is_so: bool) -> None:
        if len(self._last) == WINDOW:
            self._count -= self._last[0]
        self._last.append(is_so)
        self._count += is_so

    def is_over(self, share: float, least: int) -> bool:
        return len(self._last) >= least and self._count > share * len(self._last)


class Recent:
    """The last 200 verdicts of a lane."""

    def __init__(self) -> None:
        self._policy, self._bad_address = _Share(), _Share()
        self.detail: str | None = None

    def add(self, outcome: Outcome) -> str | None:
        """The reason to pause (a key of mailer.campaigns.lifecycle.PAUSE_REASONS), or None."""
        if outcome.code is None:
            return None
        if outcome is ACCEPTED_250:
            self._policy.add(False)
            self._bad_address.add(False)
            return None
        self._policy.add(outcome.is_policy)
        self._bad_address.add(outcome.is_bad_address)
        why = self._reason(outcome)
        if why is not None:
            self.detail = f"{outcome.code} {outcome.text}"
        return why

    def _reason(self, outcome: Outcome) -> str | None:
        if outcome.blames_sender:
            return "sender_refused"
        if outcome.is_policy and self._policy.is_over(POLICY_SHARE_MAX, POLICY_MIN):
            return "policy"
        if outcome.is_bad_address and self._bad_address.is_over(BOUNCE_SHARE_MAX, BOUNCE_MIN):
            return "bounces"
        return None


def after_complaint(session: Session, campaign_id: int, now: datetime) -> bool:
    """Called by whatever learns of a complaint, after it is recorded. True: the campaign was paused for them."""
    complaints = session.execute(
        select(func.count()).where(Suppression.campaign_id == campaign_id, Suppression.reason == SuppressionReason.COMPLAINT)
    ).scalar_one()
    if complaints < COMPLAINT_MIN:
        return False
    accepted = session.execute(
        select(func.count()).where(Delivery.campaign_id == campaign_id, Delivery.state == State.ACCEPTED)
    ).scalar_one()
    if complaints <= COMPLAINT_SHARE_MAX * accepted:
        return False
    return pause(session, campaign_id, "complaints", f"{complaints} / {accepted}", now)


def pause_all(session: Session, reason: str, detail: str, now: datetime) -> list[int]:
    """Every campaign that is going out, for something the machine itself has."""
    going = list(session.execute(select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING)).scalars())
    return [campaign_id for campaign_id in going if pause(session, campaign_id, reason, detail, now)]


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
