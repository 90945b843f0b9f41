"""The headers by which a mail program offers the opt-out: List-Unsubscribe (RFC 2369) and one-click (RFC 8058)."""

ONE_CLICK = "List-Unsubscribe=One-Click"


def list_unsubscribe(url: str, mailto: str | None, token: str) -> str:
    """The value on one line: no client is expected to unfold inside an address. The mail's subject carries the token."""
    mail = f", <mailto:{mailto}?subject=unsubscribe%20{token}>" if mailto else ""
    return f"<{url}>{mail}"


def token_in_subject(subject: str) -> str | None:
    """The token of an opt-out by mail, None where the subject holds none."""
    words = subject.split()
    return words[-1] if len(words) >= 2 and words[-2].lower() == "unsubscribe" else None
