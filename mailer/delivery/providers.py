"""SMTP providers: their accounts, which one the next lane sends through, and the circuit breaker of each.

Trouble in connecting, TLS or AUTH is the provider's, never a recipient's: no delivery is touched, the breaker opens for 60 s, then
twice as long each time, 15 minutes at most. Traffic moves at once: to the others of the same position, else to the next position.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from kairan import i18n, installation
from kairan.i18n import gettext as _
from kairan.i18n import ngettext
from kairan.models.campaigns import Campaign, CampaignStatus
from kairan.models.deliveries import Delivery, Lane, Provider, ProviderDay, State
from kairan.runtime import Runtime
from kairan.settings import SmtpAccount, is_loopback
from kairan.sql import insert, locked
from kairan.vault import SealBroken, Vault
from mailer.delivery import ceilings

ENVIRONMENT = "environment"
FIRST_BREAK_S = 60
MAX_BREAK_S = 15 * 60
LANE_OF_SEVERAL_S = 10.0
"""with more than one provider a lane is short, so that weights even out: 6 choices a minute and worker"""


class NoAccount(Exception):
    """This provider cannot be used as it stands: its password does not open, or it would cross the network in clear."""


# ---- rows and accounts ----


def mirror_environment(session: Session, account: SmtpAccount | None, now: datetime) -> Provider | None:
    """The provider row of KAIRAN_SMTP_URL. Another host or port is another provider: its breaker starts closed. None: switched off."""
    row = session.execute(select(Provider).where(Provider.name == ENVIRONMENT)).scalar_one_or_none()
    if account is None:
        if row is not None and row.enabled:
            row.enabled, row.updated_at = False, now
            session.flush()
        return None
    wanted = {"host": account.host, "port": account.port, "security": account.security, "connections": account.connections}
    if row is None:  # the first lanes of several machines may all come here at once: one writes the row, all read it
        session.execute(insert(session, Provider).values(name=ENVIRONMENT, updated_at=now, **wanted).on_conflict_do_nothing())
        row = session.execute(select(Provider).where(Provider.name == ENVIRONMENT)).scalar_one()
    elif not row.enabled or any(getattr(row, name) != value for name, value in wanted.items()):
        for name, value in wanted.items():
            setattr(row, name, value)
        row.enabled = True
        close_breaker(row)
        row.updated_at = now
    session.flush()
    return row


def place_of_password(provider_id: int) -> str:
    return f"providers/{provider_id}/password"


def set_password(provider: Provider, password: str | None, vault: Vault) -> None:
    """Sealed under the row's own id, so the row must have been flushed. None clears it."""
    provider.password = None if password is None else vault.seal(password.encode(), place_of_password(provider.id))


def account_of(provider: Provider, environment: SmtpAccount | None, vault: Vault) -> SmtpAccount:
    """What a connection is opened with. Raises NoAccount."""
    if provider.name == ENVIRONMENT:
        if environment is None:
            raise NoAccount("KAIRAN_SMTP_URL is not set")
        return environment
    if provider.login and not may_login(provider.host, provider.security):
        raise NoAccount("the login would cross the network in clear: choose STARTTLS or TLS")
    try:
        sealed = provider.password
        password = vault.open(sealed, place_of_password(provider.id)).decode() if sealed is not None else None
    except SealBroken as error:
        raise NoAccount(f"the password cannot be read: {error}") from error
    if provider.login and password is None:
        raise NoAccount("the password is missing: enter it again in the settings")
    return SmtpAccount(provider.host, provider.port, provider.security, provider.login, password, provider.connections)


def may_login(host: str, security: str) -> bool:
    """AUTH in clear never leaves this machine."""
    return security in ("starttls", "tls") or is_loopback(host)


def any_enabled(session: Session, environment: SmtpAccount | None) -> bool:
    """Whether there is anything to send through: KAIRAN_SMTP_URL, or a provider made in the UI."""
    if environment is not None:
        return True
    made = select(Provider.id).where(Provider.enabled.is_(True), Provider.name != ENVIRONMENT)
    return session.execute(made.limit(1)).first() is not None


# ---- choosing ----


def enabled(session: Session) -> list[Provider]:
    """In the order in which they are used."""
    found = select(Provider).where(Provider.enabled.is_(True)).order_by(Provider.position, Provider.id)
    return list(session.scalars(found.execution_options(populate_existing=True)))


def available(session: Session, now: datetime) -> list[Provider]:
    """Enabled, breaker closed, today's ceiling not reached; in order of position."""
    days = ceilings.today(session, now)
    return [p for p in enabled(session) if not is_broken(p, now) and not ceilings.is_full(session, p, days.get(p.id), now)]


def choose(session: Session, now: datetime) -> Provider | None:
    """The provider of a lane that begins now; counts the lane as a run. None: all are broken or full.

    Of the least position that has one available: whoever has started least today for its weight. What the other running lanes are
    about to start is counted with it, else all lanes that begin together would choose the same.
    """
    session.execute(locked(select(Provider.id).order_by(Provider.id), session, weak=True)).all()  # lanes choose one after the other
    found = available(session, now)
    if not found:
        return None
    tier = [provider for provider in found if provider.position == found[0].position]
    chosen = tier[0] if len(tier) == 1 else _least_used(session, tier, now)
    ceilings.begin_run(session, chosen, now)
    return chosen


def _least_used(session: Session, tier: list[Provider], now: datetime) -> Provider:
    days = ceilings.today(session, now)
    live = select(Lane.provider_id, func.count()).where(Lane.dead.is_(False)).group_by(Lane.provider_id)
    running = {provider_id: count for provider_id, count in session.execute(live)}
    used = {provider.id: days.get(provider.id) or ProviderDay(started=0, runs=0) for provider in tier}
    each = max(1.0, sum(day.started for day in used.values()) / max(1, sum(day.runs for day in used.values())))

    def load(provider: Provider) -> tuple[float, int]:
        return (used[provider.id].started + running.get(provider.id, 0) * each) / max(provider.weight, 1), provider.id

    return min(tier, key=load)


def lane_seconds(session: Session, seconds: float) -> float:
    return min(seconds, LANE_OF_SEVERAL_S) if len(enabled(session)) > 1 else seconds


def usable(session: Session, ground: Runtime, vault: Vault, now: datetime) -> tuple[Provider, SmtpAccount] | None:
    """The chosen provider with its account; one whose account cannot be read opens its breaker and the next is chosen."""
    mirror_environment(session, ground.settings.smtp, now)
    while (provider := choose(session, now)) is not None:
        try:
            return provider, account_of(provider, ground.settings.smtp, vault)
        except NoAccount as problem:
            open_breaker(session, provider.id, str(problem), now)
            session.flush()
    return None


# ---- the breaker ----


def is_broken(provider: Provider, now: datetime) -> bool:
    return provider.broken_until is not None and provider.broken_until > now


def open_breaker(session: Session, provider_id: int, why: str, now: datetime) -> datetime:
    """One more failure in a row. Returns until when the provider is left alone."""
    provider = session.get_one(Provider, provider_id)
    if provider.broken_until is None or provider.broken_until <= now:  # several lanes fail together: that is one failure
        provider.breaks += 1
        provider.broken_until = now + timedelta(seconds=min(FIRST_BREAK_S * 2 ** (provider.breaks - 1), MAX_BREAK_S))
    provider.last_error = why[:500]
    provider.updated_at = now
    return provider.broken_until


def close_breaker(provider: Provider) -> None:
    provider.breaks = 0
    provider.broken_until = None
    provider.last_error = None


# ---- why nothing goes out ----


def why_waiting(session: Session, now: datetime, campaign_id: int | None = None, waiting: int | None = None) -> str | None:
    """In a sentence, for the progress page, in the reader's language and the installation's time; None: a provider is available.

    `waiting`: how many wait, where the caller has counted them.
    """
    if available(session, now):
        return None
    found = enabled(session)
    if not found:
        return _("There is no mail server to send through.")
    days = ceilings.today(session, now)
    full = [provider for provider in found if not is_broken(provider, now)]
    if full:
        ceiling = sum(ceilings.ceiling_of(session, provider, days.get(provider.id), now) or 0 for provider in full)
        waiting = _waiting(session, campaign_id) if waiting is None else waiting
        return ngettext(
            "Today's ceiling of %(ceiling)s mails is reached: one mail waits for tomorrow.",
            "Today's ceiling of %(ceiling)s mails is reached: %(count)s mails wait for tomorrow.",
            waiting,
            ceiling=i18n.number(ceiling),
        )
    until = min(provider.broken_until for provider in found if provider.broken_until is not None)
    zone = ZoneInfo(installation.get(session, "time_zone"))
    why = next((provider.last_error for provider in found if provider.last_error), "")
    return _(
        "No mail server can be reached; it is tried again at %(time)s. The last trouble was: %(error)s",
        time=i18n.moment(until, zone),
        error=why,
    )


def _waiting(session: Session, campaign_id: int | None) -> int:
    going = select(Campaign.id).where(Campaign.status == CampaignStatus.SENDING)
    statement = select(func.count()).where(
        Delivery.campaign_id.in_(going if campaign_id is None else [campaign_id]), Delivery.state.in_([State.QUEUED, State.DEFERRED])
    )
    return session.execute(statement).scalar_one()
