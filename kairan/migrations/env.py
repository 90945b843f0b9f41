"""Alembic's entry: always on a connection that kairan.database.migrate has locked."""

from alembic import context
from sqlalchemy import Connection

from kairan.models.every import metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        include_object=_is_ours,
    )
    with context.begin_transaction():
        context.run_migrations()


def _is_ours(_object: object, name: str | None, kind: str, _reflected: bool, _compare_to: object) -> bool:
    # Partitions of `events` are made ahead and dropped by a job; the schema is their parent's.
    return not (kind == "table" and (name or "").startswith("events_"))


run(context.config.attributes["connection"])
