"""Logs for a terminal or a journal: event first, then its ids. No address, token or body is ever written (tests grep for them)."""

import logging
import sys

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        record.msg = " ".join([str(record.msg), *(f"{name}={_one_line(value)}" for name, value in extra.items())])
        return super().format(record)


def _one_line(value: object) -> str:
    return str(value).replace("\r", "\\r").replace("\n", "\\n")


def start(role: str, level: int = logging.INFO) -> None:
    """One handler on stderr for the whole process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line(f"%(asctime)s {role} %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("rq", "rq.worker", "alembic", "granian", "_granian", "mail.log"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
