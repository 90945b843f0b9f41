"""The sent campaign of the tracking tests."""

from tests.tracking.conftest import ground, sent

__all__ = ["ground", "sent"]
