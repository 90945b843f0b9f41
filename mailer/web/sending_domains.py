"""Settings: the domains that mail is sent from, what their DNS has to say, and the keys their mails are signed with."""

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, abort, render_template, request
from sqlalchemy import select
from sqlalchemy.orm import Session

from kairan import addresses
from kairan.i18n import gettext as _
from kairan.models.sending import DkimKey, KeyState, SendingDomain
from mailer.delivery import sender_dns, signing
from mailer.delivery.sender_dns import Finding, Record
from mailer.web import edge
from mailer.web.forms import Form

blueprint = Blueprint("sending_domains", __name__)
HERE = "/settings/domains"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One record as the page shows it: what to publish, and what was seen at the last check."""

    record: Record
    finding: Finding | None
    algorithm: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A domain as the pages show it."""

    row: SendingDomain
    keys: list[DkimKey]
    wanted: list[Wanted]
    signs: bool

    @property
    def missing(self) -> int:
        return sum(each.finding is None or each.finding.state != sender_dns.FOUND for each in self.wanted)

    @property
    def rotates(self) -> bool:
        return any(key.state == KeyState.NEW for key in self.keys)


def _standing(session: Session, row: SendingDomain) -> Standing:
    keys = signing.keys_of(session, row.id)
    algorithms = {f"{key.selector}._domainkey.{row.domain}": key.algorithm for key in keys}
    seen = {(finding.purpose, finding.name): finding for finding in sender_dns.kept(row)}
    records = sender_dns.records(row, keys, edge.now(), _own_host())
    wanted = [Wanted(record, seen.get((record.purpose, record.name)), algorithms.get(record.name, "")) for record in records]
    return Standing(row, keys, wanted, bool(signing.active_keys(session, row.id, edge.now())))


def _own_host() -> str:
    return sender_dns.own_host(edge.runtime().settings)


def _find(session: Session, domain_id: int) -> SendingDomain:
    return session.get(SendingDomain, domain_id) or abort(404)


# ---- all of them


@blueprint.get(HERE)
@edge.allowed("settings.edit")
def show_list() -> str:
    return _list(None)


def _list(form: Form | None) -> str:
    with edge.reading() as session:
        rows = session.scalars(select(SendingDomain).order_by(SendingDomain.domain))
        standing = [_standing(session, row) for row in rows]
    return render_template("admin/domains.html", standing=standing, form=form)


@blueprint.post(HERE)
@edge.allowed("settings.edit")
def add() -> edge.Answer:
    form = Form(request.form)
    name = _domain(form)
    if form.is_right:
        with edge.writing() as session:
            if session.scalar(select(SendingDomain.id).where(SendingDomain.domain == name)) is None:
                row = signing.add_domain(session, edge.runtime().secrets, name, edge.now())
                edge.audit(session, "domain.add", row.id)
                return edge.back_to(f"{HERE}/{row.id}", _("Added. Publish the records below, then check them."))
            form.wrong("domain", _("This domain is in the list already."))
    return _list(form), 422


def _domain(form: Form) -> str:
    given = form.text("domain", _("Domain"), max_length=253)
    try:
        name = signing.domain_name(given)
        if "." in name:
            return name
    except addresses.AddressError:
        pass
    form.wrong("domain", _("Enter a domain such as news.example.org."))
    return ""


# ---- one of them


@blueprint.get(f"{HERE}/<int:domain_id>")
@edge.allowed("settings.edit")
def show(domain_id: int) -> str:
    with edge.reading() as session:
        row = _find(session, domain_id)
        return _one(Form(None, link_host=row.link_host, return_path=row.return_path), _standing(session, row))


def _one(form: Form, standing: Standing) -> str:
    zone = sender_dns.zone_lines(each.record for each in standing.wanted)
    return render_template("admin/domain.html", form=form, standing=standing, zone=zone, own_host=_own_host())


@blueprint.post(f"{HERE}/<int:domain_id>")
@edge.allowed("settings.edit")
def save(domain_id: int) -> edge.Answer:
    form = Form(request.form)
    with edge.writing() as session:
        row = _find(session, domain_id)
        host, return_path = _link_host(form, row.domain), _return_path(form, row.domain)
        if not form.is_right:
            return _one(form, _standing(session, row)), 422
        row.link_host, row.return_path = host, return_path
        edge.audit(session, "domain.change", row.id, link_host=host is not None, return_path=return_path is not None)
    return edge.back_to(f"{HERE}/{domain_id}", _("Saved. It holds for every campaign that is started from now on."))


def _link_host(form: Form, domain: str) -> str | None:
    given = form.text("link_host", _("Link host"), required=False, max_length=253)
    if not given:
        return None
    try:
        host = signing.domain_name(given.removeprefix("https://"))
    except addresses.AddressError:
        form.wrong("link_host", _("Enter a host such as links.example.org."))
        return None
    if host == _own_host():
        form.wrong("link_host", _("This is the installation's own host: leave the field empty."))
    elif not _within(host, domain):
        form.wrong("link_host", _("It must be within %(domain)s, so that links and sender belong together.", domain=domain))
    return host


def _return_path(form: Form, domain: str) -> str | None:
    given = form.email("return_path", _("Address for bounces"), required=False)
    if not given or "return_path" in form.errors:
        return None
    address = addresses.as_mailbox(given)
    if not _within(address.rpartition("@")[2], domain):
        form.wrong("return_path", _("It must be within %(domain)s, so that SPF speaks for the sender.", domain=domain))
    return address


def _within(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


@blueprint.post(f"{HERE}/<int:domain_id>/check")
@edge.allowed("settings.edit")
def check(domain_id: int) -> edge.Answer:
    with edge.reading() as session:
        wanted = [each.record for each in _standing(session, _find(session, domain_id)).wanted]
    findings = sender_dns.look(wanted)  # no session is open while name servers are waited for
    with edge.writing() as session:
        started = sender_dns.keep(session, domain_id, findings, edge.now())
        for key in started:
            edge.audit(session, "domain.key_use", domain_id, key=key.id, seen=True)
    missing = sum(finding.state != sender_dns.FOUND for finding in findings)
    if missing:
        return edge.back_to(
            f"{HERE}/{domain_id}", _("Checked. Not everything is in the DNS yet: a new record takes minutes to hours."), "warn"
        )
    return edge.back_to(f"{HERE}/{domain_id}", _("Checked. Everything is in the DNS."))


@blueprint.post(f"{HERE}/<int:domain_id>/rotate")
@edge.allowed("settings.edit")
def rotate(domain_id: int) -> edge.Answer:
    with edge.writing() as session:
        row = _find(session, domain_id)
        try:
            signing.begin_rotation(session, edge.runtime().secrets, row.id, edge.now())
        except signing.RotationRunning:
            return edge.back_to(f"{HERE}/{domain_id}", _("There are new keys already. Publish them, then check."), "info")
        edge.audit(session, "domain.rotate", row.id)
    return edge.back_to(f"{HERE}/{domain_id}", _("New keys are made. Publish their records, then check: until then the old keys sign."))


# ---- questions that are asked first


def _ask(domain_id: int, key_id: int | None, act: str) -> str:
    with edge.reading() as session:
        row = _find(session, domain_id)
        key = None if key_id is None else _find_key(session, domain_id, key_id)
        return render_template("admin/domain_ask.html", row=row, key=key, act=act)


def _find_key(session: Session, domain_id: int, key_id: int) -> DkimKey:
    key = session.get(DkimKey, key_id)
    return key if key is not None and key.domain_id == domain_id else abort(404)


@blueprint.get(f"{HERE}/<int:domain_id>/keys/<int:key_id>/use")
@edge.allowed("settings.edit")
def ask_use(domain_id: int, key_id: int) -> str:
    return _ask(domain_id, key_id, "use")


@blueprint.post(f"{HERE}/<int:domain_id>/keys/<int:key_id>/use")
@edge.allowed("settings.edit")
def use(domain_id: int, key_id: int) -> edge.Answer:
    return _with_key(domain_id, key_id, "use", signing.activate, _("The key signs from now on."))


@blueprint.get(f"{HERE}/<int:domain_id>/keys/<int:key_id>/retire")
@edge.allowed("settings.edit")
def ask_retire(domain_id: int, key_id: int) -> str:
    return _ask(domain_id, key_id, "retire")


@blueprint.post(f"{HERE}/<int:domain_id>/keys/<int:key_id>/retire")
@edge.allowed("settings.edit")
def retire(domain_id: int, key_id: int) -> edge.Answer:
    return _with_key(domain_id, key_id, "retire", signing.retire, _("The key signs no more."))


def _with_key(domain_id: int, key_id: int, act: str, move: Callable[..., None], said: str) -> edge.Answer:
    with edge.writing() as session:
        move(session, _find_key(session, domain_id, key_id), edge.now())
        edge.audit(session, f"domain.key_{act}", domain_id, key=key_id)
    return edge.back_to(f"{HERE}/{domain_id}", said)


@blueprint.get(f"{HERE}/<int:domain_id>/delete")
@edge.allowed("settings.edit")
def ask_delete(domain_id: int) -> str:
    return _ask(domain_id, None, "delete")


@blueprint.post(f"{HERE}/<int:domain_id>/delete")
@edge.allowed("settings.edit")
def delete(domain_id: int) -> edge.Answer:
    with edge.writing() as session:
        session.delete(_find(session, domain_id))
        edge.audit(session, "domain.delete", domain_id)
    return edge.back_to(HERE, _("Deleted. Mails from this domain are not signed any more."))
