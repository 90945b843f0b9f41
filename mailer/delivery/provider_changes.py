"""What people change about providers: made, changed, taken away. The environment's own is never changed here."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan.models.deliveries import Lane, Provider, ProviderDay
from kairan.vault import Vault
from mailer.delivery import ceilings, providers

_LOGIN = ("host", "port", "security", "login")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A provider as a form describes it. `password` None: the stored one stays, if it may."""

    name: str
    host: str
    port: int
    security: str
    login: str | None
    password: str | None
    enabled: bool = True
    position: int = 10
    weight: int = 1
    connections: int = 20
    rate: float | None = None
    daily_ceiling: int | None = None
    warm_start: int | None = None
    warm_factor: float | None = None
    warm_target: int | None = None


def keeps_password(provider: Provider, wanted: Wanted) -> bool:
    """A stored password stays only with the server that it was entered for: else whoever changes the host would be sent it."""
    return all(getattr(provider, name) == getattr(wanted, name) for name in _LOGIN)


def name_is_taken(session: Session, name: str, besides: int | None) -> bool:
    """The name of the environment's own is always taken."""
    if name.casefold() == providers.ENVIRONMENT:
        return True
    return session.scalar(select(Provider.id).where(Provider.name == name, Provider.id != (besides or 0))) is not None


def add(session: Session, wanted: Wanted, vault: Vault, now: datetime) -> Provider:
    row = Provider(name=wanted.name, host=wanted.host, port=wanted.port, security=wanted.security, updated_at=now)
    session.add(row)
    session.flush()
    _put(session, row, wanted, vault, now)
    return row


def change(session: Session, provider: Provider, wanted: Wanted, vault: Vault, now: datetime) -> None:
    """Another host, port, TLS policy or user name clears the password and closes the breaker."""
    if provider.name == providers.ENVIRONMENT:
        raise ValueError("the environment's provider is changed in KAIRAN_SMTP_URL")
    if not keeps_password(provider, wanted):
        provider.password = None
        providers.close_breaker(provider)
    if wanted.password is not None:
        providers.close_breaker(provider)
    _put(session, provider, wanted, vault, now)


def _put(session: Session, row: Provider, wanted: Wanted, vault: Vault, now: datetime) -> None:
    for name in Wanted.__slots__:
        if name != "password":
            setattr(row, name, getattr(wanted, name))
    if wanted.login is None:
        row.password = None
    elif wanted.password is not None:
        providers.set_password(row, wanted.password, vault)
    row.updated_at = now
    ceilings.apply_settings(session, row, now)


def is_referenced(session: Session, provider_id: int) -> bool:
    """Whether mail went through it: then its row stays, since reports name it."""
    days = select(ProviderDay.day).where(ProviderDay.provider_id == provider_id, ProviderDay.started > 0).limit(1)
    lanes = select(Lane.id).where(Lane.provider_id == provider_id).limit(1)
    return session.execute(days).first() is not None or session.execute(lanes).first() is not None


def remove(session: Session, provider: Provider, now: datetime) -> bool:
    """True: it is gone. False: mail went through it, so it is kept, switched off and without its password."""
    if provider.name == providers.ENVIRONMENT:
        raise ValueError("the environment's provider is taken away with KAIRAN_SMTP_URL")
    if is_referenced(session, provider.id):
        provider.enabled, provider.password, provider.updated_at = False, None, now
        session.flush()
        return False
    session.delete(provider)
    session.flush()
    return True
