"""Every setting: name, unit, default, meaning and check. Read from the environment, else from `kairan.toml`; wrong ones stop the start.

The names are an interface (PRODUCT.md): they may gain siblings and never change.
"""

import ipaddress
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

PREFIX = "KAIRAN_"
FILE = "kairan.toml"
DEFAULT_PORT = 8000


class SettingError(ValueError):
    """A setting that cannot be right; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class SmtpAccount:
    """One SMTP account, from KAIRAN_SMTP_URL."""

    host: str
    port: int
    security: str
    """none, starttls (required) or tls (implicit)"""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    connections: int = 20


def is_loopback(host: str | None) -> bool:
    if not host:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


_SECURITY = {"smtp": ("none", 25), "smtp+starttls": ("starttls", 587), "smtps": ("tls", 465)}


def parse_smtp_url(url: str) -> SmtpAccount:
    """`smtp[+starttls]://` or `smtps://`, `user:password@host:port`, `?connections=20`. Raises SettingError."""
    parts, port = _split("KAIRAN_SMTP_URL", url)
    if parts.scheme not in _SECURITY or not parts.hostname:
        raise SettingError("KAIRAN_SMTP_URL must look like smtp+starttls://user:password@mail.example.org:587 (or smtps://, smtp://)")
    security, default_port = _SECURITY[parts.scheme]
    if parts.username and security == "none" and not is_loopback(parts.hostname):
        raise SettingError("KAIRAN_SMTP_URL would send the password in clear: write smtp+starttls:// or smtps:// instead of smtp://")
    connections = parse_qs(parts.query).get("connections", ["20"])[0]
    if not connections.isdigit() or not 1 <= int(connections) <= 200:
        raise SettingError(f"KAIRAN_SMTP_URL has connections={connections}: write a whole number from 1 to 200")
    return SmtpAccount(
        host=parts.hostname,
        port=port or default_port,
        security=security,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        connections=int(connections),
    )


def _split(name: str, url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError as error:
        raise SettingError(f"{name} is not an address: {error}") from error


@dataclass(frozen=True, slots=True)
class Settings:
    """The effective settings of this process."""

    data_dir: Path = Path("var")
    """folder of the SQLite file, embedded Valkey, journals and secrets"""
    database_url: str = ""
    """SQLAlchemy URL, sqlite:///… or postgresql+psycopg://…; empty: SQLite in the data folder"""
    redis_url: str = ""
    """Redis or Valkey, redis://, rediss:// or unix://; empty: the embedded Valkey of the data folder"""
    smtp_url: str = field(default="", repr=False)
    """the SMTP account; empty: nothing can be sent, and pages say so"""
    base_url: str = f"http://127.0.0.1:{DEFAULT_PORT}"
    """public origin of all links in mails, without a slash at the end"""
    proxy_hops: int = 0
    """how many trusted proxies stand in front and append to X-Forwarded-For (0-10)"""
    secret_key: str = field(default="", repr=False)
    """root of all keys, at least 32 characters; empty: made on first start and kept in the data folder"""
    journal_dir: Path = Path()
    """folder of the sending journals, on a local disk; empty: `journal` in the data folder"""

    metrics_token: str = field(default="", repr=False)
    """what a monitor sends as `Authorization: Bearer …` to read /metrics, at least 16 characters; empty: only this machine may"""
    private_targets: str = ""
    """networks outside the public internet that webhooks may reach, e.g. 10.20.0.0/16, 127.0.0.1; empty: none"""
    network_files: tuple[Path, ...] = ()
    """MMDB files of the operator's own, with countries or the owners of networks; empty: reports know neither"""

    @property
    def is_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")

    @property
    def smtp(self) -> SmtpAccount | None:
        return parse_smtp_url(self.smtp_url) if self.smtp_url else None

    def masked(self) -> dict[str, str]:
        """The settings as `kairan config` shows them: secrets and passwords as dots."""
        shown = {PREFIX + f.name.upper(): str(getattr(self, f.name)) for f in fields(self)}
        for name in ("KAIRAN_DATABASE_URL", "KAIRAN_REDIS_URL", "KAIRAN_SMTP_URL"):
            shown[name] = _mask_password(shown[name])
        shown["KAIRAN_NETWORK_FILES"] = ", ".join(map(str, self.network_files))
        for name in ("secret_key", "metrics_token"):
            if getattr(self, name):
                shown[PREFIX + name.upper()] = "••••••••"
        return shown


def _mask_password(url: str) -> str:
    password = urlsplit(url).password if "@" in url else None
    return url.replace(f":{password}@", ":••••••••@", 1) if password else url


def load(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """The settings of this process. Raises SettingError with a sentence that says what to write."""
    environment = os.environ if environment is None else environment
    given = {**_from_file((folder or Path()) / FILE), **_from_environment(environment)}
    values = {name: _PARSE[name](value) for name, value in given.items()}
    data_dir = values.setdefault("data_dir", Settings.__dataclass_fields__["data_dir"].default).resolve()
    values["data_dir"] = data_dir
    if not values.get("database_url"):
        values["database_url"] = f"sqlite:///{data_dir / 'kairan.sqlite'}"
    if not values.get("journal_dir"):
        values["journal_dir"] = data_dir / "journal"
    return Settings(**values)


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    known = {PREFIX + f.name.upper(): f.name for f in fields(Settings)}
    return {known[name]: value.strip() for name, value in environment.items() if name in known and value.strip()}


def _from_file(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{FILE} cannot be read: {error}") from error
    names = {f.name for f in fields(Settings)}
    values: dict[str, str] = {}
    for key, value in table.items():
        name = key.lower().removeprefix(PREFIX.lower())
        if name not in names:
            raise SettingError(f"{FILE} has {key}, which is no setting: `kairan config` lists them")
        values[name] = str(value).strip()
    return {name: value for name, value in values.items() if value}


def _folder(value: str) -> Path:
    return Path(value).expanduser()


def _database(value: str) -> str:
    if value.startswith("postgres://") or value.startswith("postgresql://"):
        raise SettingError("KAIRAN_DATABASE_URL must name the driver: write postgresql+psycopg:// instead of postgresql://")
    if not value.startswith(("sqlite:///", "postgresql+psycopg://")):
        raise SettingError("KAIRAN_DATABASE_URL must start with sqlite:/// or postgresql+psycopg://")
    return value


def _redis(value: str) -> str:
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise SettingError("KAIRAN_REDIS_URL must start with redis://, rediss:// or unix://")
    return value


def _smtp(value: str) -> str:
    parse_smtp_url(value)
    return value


def _base(value: str) -> str:
    value = value.rstrip("/")
    parts, _port = _split("KAIRAN_BASE_URL", value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query or parts.username:
        raise SettingError("KAIRAN_BASE_URL must be an origin such as https://mail.example.org, without a path")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise SettingError(f"KAIRAN_BASE_URL must be https outside this machine: write https://{parts.netloc}")
    return value


def _hops(value: str) -> int:
    if not value.isdigit() or int(value) > 10:
        raise SettingError(f"KAIRAN_PROXY_HOPS is {value}: write how many trusted proxies stand in front, 0 to 10")
    return int(value)


def _secret(value: str) -> str:
    if len(value) < 32:
        raise SettingError("KAIRAN_SECRET_KEY is too short: write at least 32 random characters (openssl rand -base64 32 prints some)")
    return value


def _metrics(value: str) -> str:
    if len(value) < 16:
        raise SettingError("KAIRAN_METRICS_TOKEN is too short: write at least 16 random characters")
    return value


def _private(value: str) -> str:
    from kairan.safe_client import allowed_networks

    try:
        allowed_networks(value)
    except ValueError as error:
        raise SettingError(f"KAIRAN_PRIVATE_TARGETS must list networks such as 10.20.0.0/16, 127.0.0.1: {error}") from error
    return value


def _files(value: str) -> tuple[Path, ...]:
    return tuple(Path(name.strip()).expanduser() for name in value.split(",") if name.strip())


_PARSE: dict[str, Callable[[str], Any]] = {
    "data_dir": _folder,
    "database_url": _database,
    "redis_url": _redis,
    "smtp_url": _smtp,
    "base_url": _base,
    "proxy_hops": _hops,
    "secret_key": _secret,
    "journal_dir": _folder,
    "metrics_token": _metrics,
    "private_targets": _private,
    "network_files": _files,
}


def base_is_public_or_loopback(base_url: str) -> bool:
    """Whether mails may point there: https, or this machine alone (pre-flight asks again, since a setting may be changed in between)."""
    parts = urlsplit(base_url)
    return parts.scheme == "https" or is_loopback(parts.hostname)
