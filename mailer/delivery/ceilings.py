"""How many mails a provider may start today: counted in the database, so that no restart and no second machine forgets it.

A day is one of the installation's time zone. Its ceiling is fixed when the day begins (or when a person changes the settings): the
daily ceiling, or less while a new sender warms up. The warm-up grows by its factor after each day that used at least half of what it
allowed, so a pause of a week does not turn into a leap.
"""

import math
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from kairan import installation
from kairan.models.deliveries import Provider, ProviderDay
from kairan.sql import insert, locked

_NOT_TRACKED = {"synchronize_session": False}


def reserve_today(session: Session, provider_id: int, wanted: int, now: datetime) -> int:
    """How many of the wanted may start today; they are counted at once. Strict over all machines: the row is locked until the commit."""
    if wanted <= 0:
        return 0
    if _add(session, provider_id, wanted, now):  # nearly always: one statement a gate
        return wanted
    _ensure(session, provider_id, now)
    row = _row_locked(session, provider_id, now)
    left = wanted if row is None or row.ceiling is None else max(0, min(wanted, row.ceiling - row.started))
    return left if left and _add(session, provider_id, left, now) else 0


def give_back_today(session: Session, provider_id: int, unused: int, now: datetime) -> None:
    """What was reserved and did not start after all."""
    if unused > 0:
        session.execute(
            update(ProviderDay)
            .where(*_is_now(provider_id, now), ProviderDay.started >= unused)
            .values(started=ProviderDay.started - unused),
            execution_options=_NOT_TRACKED,
        )


def begin_run(session: Session, provider: Provider, now: datetime) -> None:
    _ensure(session, provider.id, now)
    session.execute(update(ProviderDay).where(*_is_now(provider.id, now)).values(runs=ProviderDay.runs + 1), execution_options=_NOT_TRACKED)


def today(session: Session, now: datetime) -> dict[int, ProviderDay]:
    """Provider id → its row of today; who started nothing has none."""
    rows = session.scalars(
        select(ProviderDay).where(ProviderDay.begins_at <= now, ProviderDay.ends_at > now), execution_options={"populate_existing": True}
    )
    return {row.provider_id: row for row in rows}


def is_full(session: Session, provider: Provider, day: ProviderDay | None, now: datetime) -> bool:
    ceiling = ceiling_of(session, provider, day, now)
    return ceiling is not None and (day.started if day else 0) >= ceiling


def ceiling_of(session: Session, provider: Provider, day: ProviderDay | None, now: datetime) -> int | None:
    """What holds today; None: nothing."""
    return day.ceiling if day is not None else wanted_ceiling(session, provider, _local_day(session, now))


def apply_settings(session: Session, provider: Provider, now: datetime) -> None:
    """After a change by a person: today's row takes the new ceiling. A warm-up begins on the day it is switched on."""
    here = _local_day(session, now)
    if provider.warm_start is None:
        provider.warm_since = None
    elif provider.warm_since is None:
        provider.warm_since = here
    session.flush()
    session.execute(
        update(ProviderDay).where(*_is_now(provider.id, now)).values(ceiling=wanted_ceiling(session, provider, here)),
        execution_options=_NOT_TRACKED,
    )


def wanted_ceiling(session: Session, provider: Provider, day: date) -> int | None:
    """The daily ceiling, or the warm-up's step of that day where it is less."""
    warm = warm_step(session, provider, day)
    parts = [part for part in (provider.daily_ceiling, warm) if part is not None]
    return min(parts) if parts else None


def warm_step(session: Session, provider: Provider, day: date) -> int | None:
    """What the warm-up allows on that day; None: there is none, or it has reached its target."""
    if provider.warm_start is None or provider.warm_factor is None or provider.warm_target is None:
        return None
    level = float(provider.warm_start)
    used = session.execute(
        select(ProviderDay.started)
        .where(ProviderDay.provider_id == provider.id, ProviderDay.day >= (provider.warm_since or day), ProviderDay.day < day)
        .order_by(ProviderDay.day)
    ).scalars()
    for started in used:
        if started * 2 >= level:
            level *= provider.warm_factor
    return math.floor(level + 1e-9) if level < provider.warm_target else None


def _add(session: Session, provider_id: int, count: int, now: datetime) -> bool:
    done = session.execute(
        update(ProviderDay)
        .where(*_is_now(provider_id, now), or_(ProviderDay.ceiling.is_(None), ProviderDay.started + count <= ProviderDay.ceiling))
        .values(started=ProviderDay.started + count)
        .returning(ProviderDay.provider_id),
        execution_options=_NOT_TRACKED,
    )
    return done.first() is not None


def _is_now(provider_id: int, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return ProviderDay.provider_id == provider_id, ProviderDay.begins_at <= now, ProviderDay.ends_at > now


def _row_locked(session: Session, provider_id: int, now: datetime) -> ProviderDay | None:
    statement = select(ProviderDay).where(*_is_now(provider_id, now)).execution_options(populate_existing=True)
    return session.scalars(locked(statement, session)).first()


def _ensure(session: Session, provider_id: int, now: datetime) -> None:
    """Today's row. A change of the time zone may end a day early or late, never count it twice."""
    if session.execute(select(ProviderDay.day).where(*_is_now(provider_id, now))).first() is not None:
        return
    zone = ZoneInfo(installation.get(session, "time_zone"))
    day = now.astimezone(zone).date()
    begins, ends = (datetime.combine(each, time(), zone) for each in (day, day + timedelta(days=1)))
    provider = session.get_one(Provider, provider_id)
    row = {"provider_id": provider_id, "day": day, "begins_at": begins, "ends_at": ends, "started": 0, "runs": 0}
    session.execute(
        insert(session, ProviderDay)
        .values(**row, ceiling=wanted_ceiling(session, provider, day))
        .on_conflict_do_update(index_elements=["provider_id", "day"], set_={"ends_at": ends, "begins_at": begins})
    )


def _local_day(session: Session, now: datetime) -> date:
    return now.astimezone(ZoneInfo(installation.get(session, "time_zone"))).date()
