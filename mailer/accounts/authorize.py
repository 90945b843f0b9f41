"""Who may do what: one table, one question, and everything that is not in the table is denied."""

from typing import Any, Protocol

from kairan.models.accounts import Role


class Actor(Protocol):
    """A person or an API token."""

    @property
    def role(self) -> str: ...


class Forbidden(PermissionError):
    """The role does not cover the action."""

    def __init__(self, role: str, action: str) -> None:
        super().__init__(f"{role} may not {action}")
        self.action = action


_LOOK = frozenset({"home.view", "campaign.view", "report.view", "list.view", "job.view", "own.change", "search"})
_MAIL = frozenset({"campaign.edit", "campaign.send", "campaign.test", "list.edit", "media.edit", "report.share"})
_PEOPLE = frozenset({"member.view", "member.address", "member.edit", "member.import", "suppression.view", "suppression.edit"})
_EXPORT = frozenset({"events.export", "member.export"})
_PRIVACY = frozenset(
    {"member.view", "member.address", "suppression.view", "suppression.edit", "consent.view", "request.edit", "member.erase", "audit.view"}
)
_RUN = frozenset({"settings.view", "settings.edit", "account.edit", "token.edit", "delivery.resolve", "content.html"})

MAY: dict[str, frozenset[str]] = {
    Role.ADMIN: _LOOK | _MAIL | _PEOPLE | _EXPORT | _PRIVACY | _RUN,
    Role.MARKETER: _LOOK | _MAIL | _PEOPLE | _EXPORT | {"consent.view", "settings.view"},
    # No addresses: an analyst sees members masked, and figures.
    Role.ANALYST: _LOOK | {"member.view", "events.export"},
    Role.PRIVACY_OFFICER: _LOOK | _PRIVACY | _EXPORT | {"settings.view"},
}
ACTIONS = frozenset().union(*MAY.values())


def may(actor: Actor | None, action: str, thing: Any = None) -> bool:
    """Whether the actor may do this to that thing. Nobody in particular may do nothing."""
    if action not in ACTIONS:
        raise LookupError(f"{action} is no action of the table")
    return actor is not None and action in MAY.get(actor.role, frozenset())


def authorize(actor: Actor | None, action: str, thing: Any = None) -> None:
    """Raises Forbidden unless the actor may."""
    if not may(actor, action, thing):
        raise Forbidden(actor.role if actor else "nobody", action)
