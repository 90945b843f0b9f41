"""Web sites of the organisation's own: which hosts they are, and the one parameter that a click on a link to them brings along."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from kairan.database import Database
from kairan.models.webhooks import Site
from tracking.targets import host_of, with_parameter

PARAMETER = "kv"
FRESH_S = 30.0
HOUR_S = 3_600

log = logging.getLogger(__name__)


class Sites:
    """The registered sites as this process knows them, at most half a minute old; with the database away as they were last."""

    def __init__(self, database: Database, make_token: Callable[[int, int, int], str]) -> None:
        self._database = database
        self._make_token = make_token
        self._by_host: Mapping[str, int] = {}
        self._by_code: Mapping[str, tuple[int, str]] = {}
        self._until = 0.0
        self._lock = threading.Lock()

    def hosts(self) -> Mapping[str, int]:
        """Host → site. Empty: nothing is added to any address."""
        if time.monotonic() >= self._until:
            self._load()
        return self._by_host

    def by_code(self, code: str) -> tuple[int, str] | None:
        """(site, its host)"""
        self.hosts()
        return self._by_code.get(code)

    def joined(self, address: str, campaign_id: int, number: int) -> str:
        """The address of a registered site with the parameter that a visit may be joined by; any other as it is."""
        if host_of(address) not in self._by_host:
            return address
        return with_parameter(address, PARAMETER, self._make_token(campaign_id, number, hour()))

    def _load(self) -> None:
        with self._lock:  # one of the threads asks
            if time.monotonic() < self._until:
                return
            try:
                with self._database.reading() as session:
                    rows = session.execute(select(Site.id, Site.host, Site.code)).all()
                self._by_host = {row.host: row.id for row in rows}
                self._by_code = {row.code: (row.id, row.host) for row in rows}
            except SQLAlchemyError as error:
                log.warning("sites not loaded", extra={"error": type(error).__name__})
            self._until = time.monotonic() + FRESH_S


def hour() -> int:
    """Since 1970, by this machine's clock."""
    return int(time.time()) // HOUR_S
