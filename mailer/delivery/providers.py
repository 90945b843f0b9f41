"""SMTP providers: the one from the environment as a row, and its circuit breaker.

Trouble in connecting, TLS or AUTH is the provider's, never a recipient's: no delivery is touched, the breaker opens for 60 s, then
twice as long each time, 15 minutes at most.
"""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.deliveries import Provider
from kairan.settings import SmtpAccount

ENVIRONMENT = "environment"
FIRST_BREAK_S = 60
MAX_BREAK_S = 15 * 60


def mirror_environment(session: Session, account: SmtpAccount, now: datetime) -> Provider:
    """The provider row of KAIRAN_SMTP_URL. Another host or port is another provider: its breaker starts closed."""
    row = session.execute(select(Provider).where(Provider.name == ENVIRONMENT)).scalar_one_or_none()
    wanted = {"host": account.host, "port": account.port, "security": account.security, "connections": account.connections}
    if row is None:
        row = Provider(name=ENVIRONMENT, updated_at=now, **wanted)
        session.add(row)
    elif any(getattr(row, name) != value for name, value in wanted.items()):
        for name, value in wanted.items():
            setattr(row, name, value)
        close_breaker(row)
        row.updated_at = now
    session.flush()
    return row


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
