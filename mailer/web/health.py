"""For load balancers and supervisors: alive, and ready to serve."""

from flask import Blueprint
from sqlalchemy import text

from mailer.web import edge

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
@edge.anyone
def alive() -> tuple[str, int, dict[str, str]]:
    return "ok\n", 200, {"Content-Type": "text/plain; charset=utf-8"}


@blueprint.get("/readyz")
@edge.anyone
def ready() -> tuple[str, int, dict[str, str]]:
    missing = [name for name, check in (("database", _database), ("redis", _redis)) if not check()]
    return (
        (f"no {' and no '.join(missing)}\n" if missing else "ok\n"),
        503 if missing else 200,
        {"Content-Type": "text/plain; charset=utf-8"},
    )


def _database() -> bool:
    try:
        with edge.reading() as session:
            session.execute(text("SELECT 1"))
    except Exception:
        return False
    return True


def _redis() -> bool:
    try:
        return bool(edge.runtime().redis.ping())
    except Exception:
        return False
