"""Imports every family, so that `Base.metadata` is whole for migrations and tests."""

from kairan.models import (
    accounts,
    alerts,
    audience,
    audit,
    campaigns,
    consent,
    deliveries,
    events,
    installation,
    jobs,
    library,
    media,
    outbox,
    reports,
    segments,
    sending,
    suppression,
    webhooks,
)
from kairan.models.base import Base

FAMILIES = (
    accounts,
    alerts,
    audience,
    audit,
    campaigns,
    consent,
    deliveries,
    events,
    installation,
    jobs,
    library,
    media,
    outbox,
    reports,
    segments,
    sending,
    suppression,
    webhooks,
)
metadata = Base.metadata
