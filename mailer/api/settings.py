"""The installation's settings by API: who sends, under which law, in which language."""

from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy import select

from kairan import installation
from kairan.i18n import gettext as _
from kairan.models.installation import LegalProfile, Setting
from kairan.sql import locked
from mailer.api.calls import Call, operation
from mailer.api.idempotency import Answer
from mailer.api.problems import wrong
from mailer.api.shapes import Change, MaybeLine, Shown, _address

PARTS = ("organisation", "sender")
"""settings that are objects: a PATCH changes the fields it names"""


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(_("There is no such time zone. Write it as Asia/Tokyo."))
    return value


def _address_or_none(value: str) -> str:
    return _address(value) if value.strip() else ""


class OrganisationGiven(Change):
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    address: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""
    contact: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


class SenderGiven(Change):
    name: Annotated[MaybeLine, Field(max_length=200)] = ""
    email: Annotated[str, StringConstraints(max_length=254), AfterValidator(_address_or_none)] = ""


class SettingsGiven(Change):
    organisation: OrganisationGiven = OrganisationGiven()
    sender: SenderGiven = SenderGiven()
    legal_profile: Annotated[str, StringConstraints(max_length=5)] = ""
    language: Literal["en", "ja"] = "en"
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    one_click_scope: Literal["all", "list"] = "all"
    archive_noindex: bool = False
    """asks search engines to leave the public archives out"""


class OrganisationShown(Shown):
    name: str
    address: str
    contact: str


class SenderShown(Shown):
    name: str
    email: str


class SettingsShown(Shown):
    organisation: OrganisationShown
    sender: SenderShown
    legal_profile: str
    language: str
    time_zone: str
    one_click_scope: str
    archive_noindex: bool


@operation("GET", "/settings", "settings.view", {200: SettingsShown})
def show(call: Call) -> Answer:
    """The installation's settings."""
    with call.reading() as session:
        return call.say(200, SettingsShown.model_validate(installation.everything(session)))


@operation("PATCH", "/settings", "settings.edit", {200: SettingsShown}, body=SettingsGiven)
def change(call: Call, body: SettingsGiven) -> Answer:
    """Changes the settings that are given, and of organisation and sender the fields that are given."""
    given = body.model_dump(exclude_unset=True)
    with call.effect() as session:
        session.execute(locked(select(Setting).order_by(Setting.name), session)).all()
        if "legal_profile" in given and session.get(LegalProfile, given["legal_profile"]) is None:
            raise wrong("legal_profile", _("There is no such legal profile."))
        for name, value in given.items():
            held: Any = installation.get(session, name)
            installation.put(session, name, {**held, **value} if name in PARTS else value, now=call.now)
        call.audit(session, "settings.change", names=sorted(given))
        return call.say(200, SettingsShown.model_validate(installation.everything(session)))
