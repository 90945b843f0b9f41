"""Whole domains on the suppression list by API, and files of addresses that are put on it."""

from datetime import datetime
from typing import Annotated

from flask import request
from pydantic import AfterValidator, Field, StringConstraints
from werkzeug.exceptions import ClientDisconnected

from kairan import addresses, jobs
from kairan.i18n import gettext as _
from kairan.models.suppression import SuppressedDomain
from mailer.api.calls import Call, operation, ring
from mailer.api.idempotency import Answer
from mailer.api.imports import MEDIA_TYPE, BrokenOff, JobStarted, check_upload, chunks, too_large
from mailer.api.problems import Problem, missing
from mailer.api.shapes import PAGE_MAX, Given, MaybeLine, Shown
from mailer.audience import csv_import, suppression_import
from unsubscribe import domains
from unsubscribe.waiting import wait_out


def _domain(value: str) -> str:
    try:
        return addresses.domain(value).ascii
    except addresses.AddressError:
        raise ValueError(_("This is not a domain. It looks like example.org.")) from None


class NewDomain(Given):
    domain: Annotated[str, StringConstraints(max_length=254), AfterValidator(_domain)]
    note: MaybeLine = ""


class DomainQuery(Given):
    cursor: Annotated[str, StringConstraints(max_length=253)] = ""
    limit: int = Field(100, ge=1, le=PAGE_MAX)


class DomainShown(Shown):
    domain: str
    note: str
    actor: str
    created_at: datetime


class DomainPage(Shown):
    items: list[DomainShown]
    next: str | None


def _shown(row: SuppressedDomain) -> DomainShown:
    return DomainShown(domain=row.domain, note=row.note, actor=row.actor, created_at=row.created_at)


@operation("GET", "/suppressions/domains", "suppression.view", {200: DomainPage}, query=DomainQuery)
def index(call: Call, query: DomainQuery) -> Answer:
    """The domains that get no mail, by name."""
    with call.reading() as session:
        rows, following = domains.page(session, after=query.cursor, limit=query.limit)
        return call.say(200, DomainPage(items=[_shown(row) for row in rows], next=following))


@operation("POST", "/suppressions/domains", "suppression.edit", {201: DomainShown, 200: DomainShown}, body=NewDomain)
def create(call: Call, body: NewDomain) -> Answer:
    """Puts a whole domain on the list (200: it was on it). Once this is answered, no mail to any address there starts any more."""
    with call.effect() as session:
        added = domains.add(session, body.domain, now=call.now, actor=call.actor, note=body.note)
        if added:
            call.audit(session, "suppression.domain.add")
        answer = call.say(201 if added else 200, _shown(session.get_one(SuppressedDomain, body.domain)))
    wait_out(call.ground.database)
    return answer


@operation("DELETE", "/suppressions/domains/{domain}", "suppression.edit", {204: None}, problems=(404,))
def release(call: Call, domain: str) -> Answer:
    """Takes a domain off the list; what its addresses are on it for themselves stays."""
    with call.effect() as session:
        if not domains.release(session, domain):
            raise missing()
        call.audit(session, "suppression.domain.release")
        return call.say(204)


@operation("POST", "/suppressions/import", "suppression.edit", {202: JobStarted}, body=MEDIA_TYPE, problems=(409, 411))
def start(call: Call) -> Answer:
    """Puts a CSV file on the list: columns `email` or `domain`, if you like `reason` and `note`. It only ever adds.

    An Idempotency-Key stands for method, path and Content-Length here: the body is not kept to be compared.
    """
    check_upload()
    with call.long_effect():
        with call.ground.writing() as session:
            job = suppression_import.start(session, actor=call.actor, by=None, now=call.now, source="API")
            call.audit(session, "suppression.import", job.id)
        try:
            csv_import.store_upload(call.ground, job, chunks(request))
        except csv_import.UploadTooLarge:
            raise too_large() from None
        except (BrokenOff, ClientDisconnected, OSError, jobs.JobTaken):
            raise Problem(400, csv_import.broken_off()) from None
        call.say(202, JobStarted(job=str(job.id)), Location=f"/api/v1/jobs/{job.id}")
    ring(lambda: jobs.ring(call.ground, job.id, job.kind))
    return call.answer
