"""The states of a delivery: which moves are allowed, what each is called, what each reason means."""

from kairan.i18n import lazy_gettext
from kairan.models.deliveries import State

MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.SENDING, State.SUPPRESSED, State.CANCELLED, State.EXPIRED, State.FAILED}),
    State.DEFERRED: frozenset({State.SENDING, State.SUPPRESSED, State.CANCELLED, State.EXPIRED, State.FAILED}),
    State.SENDING: frozenset(
        {State.ACCEPTED, State.REJECTED, State.DEFERRED, State.UNCERTAIN, State.QUEUED, State.SUPPRESSED, State.FAILED, State.EXPIRED}
    ),
    # R found in a journal after all, evidence that it arrived, or a person's decision
    State.UNCERTAIN: frozenset({State.ACCEPTED, State.REJECTED, State.DEFERRED, State.QUEUED}),
    State.ACCEPTED: frozenset(),
    State.REJECTED: frozenset(),
    State.SUPPRESSED: frozenset(),
    State.CANCELLED: frozenset(),
    State.FAILED: frozenset(),
    State.EXPIRED: frozenset(),
}

WAITING = (State.QUEUED, State.DEFERRED)
UNFINISHED = (State.QUEUED, State.SENDING, State.DEFERRED)

LABELS = {
    State.QUEUED: lazy_gettext("queued"),
    State.SENDING: lazy_gettext("sending"),
    State.ACCEPTED: lazy_gettext("accepted"),
    State.REJECTED: lazy_gettext("rejected"),
    State.DEFERRED: lazy_gettext("deferred"),
    State.UNCERTAIN: lazy_gettext("uncertain"),
    State.SUPPRESSED: lazy_gettext("suppressed"),
    State.CANCELLED: lazy_gettext("cancelled"),
    State.FAILED: lazy_gettext("failed"),
    State.EXPIRED: lazy_gettext("expired"),
}


def name(state: int) -> str:
    """The state's name in the API: `accepted`."""
    return State(state).name.lower()
