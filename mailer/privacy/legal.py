"""What each mail must state by law, and whether the installation has said it (特定電子メール法 第4条; PRIVACY.md "Law, as defaults")."""

from sqlalchemy.orm import Session

from kairan import installation
from kairan.models.installation import LegalProfile


def profile(session: Session) -> LegalProfile:
    """The law this installation sends under."""
    return session.get_one(LegalProfile, installation.get(session, "legal_profile"))


def missing_lines(session: Session) -> list[str]:
    """Which of the organisation's `name`, `address` and `contact` the law demands and nobody has set."""
    organisation, law = installation.get(session, "organisation"), profile(session)
    demanded = ["name", *(["address"] if law.needs_address else []), *(["contact"] if law.needs_contact else [])]
    return [name for name in demanded if not str(organisation.get(name, "")).strip()]
