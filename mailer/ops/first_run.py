"""The way in while nobody has an account: a link to /setup/TOKEN, printed by `kairan up` and `kairan web`."""

from kairan import clock
from kairan.runtime import runtime
from mailer.accounts import people


def setup_address() -> str | None:
    """A fresh link; None once an administrator exists."""
    ground = runtime()
    with ground.writing() as session:
        token = people.setup_link(session, clock.now())
    return f"{ground.settings.base_url}/setup/{token}" if token else None
