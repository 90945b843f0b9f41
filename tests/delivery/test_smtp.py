"""Our SMTP connection over real servers, and what it leans on in aiosmtplib's private parts: the contract of the pinned version."""

import asyncio
from collections.abc import Iterator
from importlib.metadata import version

import aiosmtplib
import pytest
from aiosmtplib.protocol import SMTPProtocol

from kairan.settings import parse_smtp_url
from mailer.delivery.smtp import Connection, ConnectionLost, ProviderTrouble, RefusedReply, TooLate
from tests.support import fault_smtp

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"


@pytest.fixture(params=[True, False], ids=["pipelining", "one by one"])
def server(request: pytest.FixtureRequest) -> Iterator[fault_smtp.FaultSmtp]:
    with fault_smtp.running(pipelining=request.param) as running:
        yield running


async def _mail(connection: Connection, recipient: bytes) -> int:
    await connection.transaction(b"a@s.example", recipient, lambda: True)
    connection.write_message(MESSAGE)
    return (await connection.dot_reply()).code


def test_the_pinned_version_has_the_private_parts_we_use() -> None:
    assert version("aiosmtplib") == "5.1.3"
    assert callable(aiosmtplib.SMTP._ehlo_or_helo_if_needed)
    assert callable(aiosmtplib.SMTP._on_connection_lost)


def test_a_protocol_of_the_pinned_version_says_whether_it_is_encrypted() -> None:
    async def scene() -> bool:
        return SMTPProtocol()._over_ssl

    assert asyncio.run(scene()) is False


def test_one_connection_carries_mail_after_mail(server: fault_smtp.FaultSmtp) -> None:
    async def scene() -> list[int]:
        connection = await Connection.open(parse_smtp_url(server.url))
        codes = [await _mail(connection, b"one@t.example"), await _mail(connection, b"two@t.example")]
        assert connection.usable
        await connection.leave()
        assert not connection.usable
        return codes

    assert asyncio.run(scene()) == [250, 250]
    assert server.ledger == ["one@t.example", "two@t.example"]
    assert server.sessions == 1


def test_a_refused_recipient_leaves_the_connection_in_step(server: fault_smtp.FaultSmtp) -> None:
    async def scene() -> None:
        connection = await Connection.open(parse_smtp_url(server.url))
        with pytest.raises(RefusedReply) as refused:
            await connection.transaction(b"a@s.example", b"550-rcpt.1@t.example", lambda: True)
        assert (refused.value.step, refused.value.reply.code) == ("RCPT", 550)
        assert await _mail(connection, b"next@t.example") == 250
        await connection.leave()

    asyncio.run(scene())
    assert server.ledger == ["next@t.example"]


def test_nothing_is_written_when_the_time_since_the_gate_is_over(server: fault_smtp.FaultSmtp) -> None:
    async def scene() -> None:
        connection = await Connection.open(parse_smtp_url(server.url))
        with pytest.raises(TooLate):
            await connection.transaction(b"a@s.example", b"late@t.example", lambda: False)
        await connection.leave()

    asyncio.run(scene())
    assert server.mails == []


def test_a_drop_before_the_reply_to_the_dot_is_a_lost_connection(server: fault_smtp.FaultSmtp) -> None:
    async def scene() -> bool:
        connection = await Connection.open(parse_smtp_url(server.url))
        with pytest.raises(ConnectionLost):
            await _mail(connection, b"drop-dot.1@t.example")
        return connection.usable

    assert asyncio.run(scene()) is False


def test_a_server_that_is_not_there_is_the_providers_trouble() -> None:
    with pytest.raises(ProviderTrouble):
        asyncio.run(Connection.open(parse_smtp_url("smtp://127.0.0.1:1")))
