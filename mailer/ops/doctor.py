"""`kairan doctor`: looks at everything an installation stands on and says in a sentence what to do."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, text

from kairan import clock, database, installation, queues, runtime, settings, vault
from kairan.models.sending import SendingDomain
from kairan.runtime import Runtime
from kairan.settings import SettingError, Settings, SmtpAccount
from mailer.delivery import probe, providers

if TYPE_CHECKING:
    from mailer.delivery.sender_dns import Record

FREE_MIN = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    what: str
    good: bool
    says: str


def examine() -> Iterator[Check]:
    """Every check that can be made; a later one is left out where an earlier one makes it pointless."""
    try:
        given = settings.load()
    except SettingError as error:
        yield Check("settings", False, str(error))
        return
    yield Check("settings", True, "all valid")
    yield from _disk(given)
    ground: Runtime | None = None
    try:
        ground = runtime.runtime()
        yield Check("database", True, f"{'SQLite' if given.is_sqlite else 'PostgreSQL'}, schema {database.newest_schema()}")
    except Exception as error:
        yield Check("database", False, f"{str(error).splitlines()[0][:300]}")
    yield _redis(given)
    yield from _smtp(given, ground)
    if ground is not None:
        yield from _clock(ground)
        yield from dns_checks(ground)


def _disk(given: Settings) -> Iterator[Check]:
    given.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    free = shutil.disk_usage(given.data_dir).free
    yield Check("disk", free > FREE_MIN, f"{free >> 20} MiB free in the data folder" + ("" if free > FREE_MIN else ": make room"))


def _redis(given: Settings) -> Check:
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        client = Redis.from_url(queues.redis_url(given), socket_timeout=3)
        info = client.info("server")
        client.close()
    except SettingError as error:
        return Check("redis", False, str(error))
    except (RedisError, OSError) as error:
        return Check("redis", False, f"does not answer ({type(error).__name__}): start it, or mend KAIRAN_REDIS_URL")
    name = info.get("server_name", "redis") if isinstance(info, dict) else "redis"
    return Check("redis", True, f"{name} answers")


def _smtp(given: Settings, ground: Runtime | None) -> Iterator[Check]:
    """Each provider: connection, TLS with its certificate, login."""
    accounts = list(_accounts(given, ground))
    if not accounts:
        yield Check("smtp", False, "nothing can be sent: set KAIRAN_SMTP_URL, or add a mail server under Settings, Mail servers")
    for name, account in accounts:
        if isinstance(account, str):
            yield Check("smtp", False, f"{name}: {account}")
            continue
        found = probe.try_out(account)
        more = f" ({'pipelines' if found.pipelines else 'does not pipeline'}, {account.security})" if found.good else ""
        yield Check("smtp", found.good, f"{name} ({account.host}:{account.port}): {found.says}{more}")


def _accounts(given: Settings, ground: Runtime | None) -> Iterator[tuple[str, SmtpAccount | str]]:
    """Name and account of each provider in use, or why there is none. Without a database only the environment's is known."""
    if given.smtp is not None:
        yield providers.ENVIRONMENT, given.smtp
    if ground is None:
        return
    with ground.reading() as session:
        made = [provider for provider in providers.enabled(session) if provider.name != providers.ENVIRONMENT]
    for provider in made:
        try:
            yield provider.name, providers.account_of(provider, given.smtp, vault.of(ground.secrets))
        except providers.NoAccount as problem:
            yield provider.name, str(problem)


def _clock(ground: Runtime) -> Iterator[Check]:
    with ground.reading() as session:
        session.execute(text("SELECT 1"))
        apart = abs((clock.database_now(session) - clock.now()).total_seconds())
    good = apart < 5
    yield Check("clock", good, f"{apart:.1f} s from the database's" + ("" if good else ": synchronise both (NTP)"))


def dns_checks(ground: Runtime) -> Iterator[Check]:
    """What each sending domain publishes, and the policies of the organisation's sender where it has no such row."""
    from mailer.delivery import sender_dns

    wanted = _wanted_records(ground)
    findings = sender_dns.look([record for _, record in wanted])
    for (domain, _record), finding in zip(wanted, findings, strict=True):
        what = f"{finding.purpose.replace('_', ' ').upper()} of {domain}"
        says = _DNS_SAYS[finding.state].format(name=finding.name, seen=" | ".join(finding.seen))
        yield Check(what, finding.state == sender_dns.FOUND, says)


_DNS_SAYS = {
    "found": "{name} is published",
    "missing": "{name} is not published: Settings, Sending domains shows what to write",
    "differs": "{name} says something else ({seen}): Settings, Sending domains shows what to write",
    "unknown": "{name}: no name server answered ({seen})",
}


def _wanted_records(ground: Runtime) -> "list[tuple[str, Record]]":
    from mailer.delivery import sender_dns, signing

    host = sender_dns.own_host(ground.settings)
    with ground.reading() as session:
        found = [
            (row.domain, record)
            for row in session.execute(select(SendingDomain).order_by(SendingDomain.domain)).scalars()
            for record in sender_dns.records(row, signing.keys_of(session, row.id), clock.now(), host)
        ]
        sender = str(installation.get(session, "sender").get("email", ""))
        domain = sender.rpartition("@")[2].lower()
        if domain and signing.domain_of(session, sender) is None:
            found += [(domain, record) for record in sender_dns.policies(domain, domain)]
    return found
