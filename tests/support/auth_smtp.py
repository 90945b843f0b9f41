"""A real SMTP server that asks for TLS and a login, with a certificate of its own authority.

`running(password="right")` speaks STARTTLS for 127.0.0.1 and localhost; `implicit` TLS from the first byte; `encrypted=False` takes
the login in clear. Who wants to trust it sets SSL_CERT_FILE to `authority`.
"""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class AuthSmtp:
    """`password` may be changed while it runs, as an operator mends it. `logins`: (user, password, over TLS) of every try."""

    password: str
    port: int = 0
    security: str = "starttls"
    authority: Path = Path()
    mails: list[tuple[str, str]] = field(default_factory=list)
    """(sender, recipient) of each accepted mail"""
    bodies: list[bytes] = field(default_factory=list)
    logins: list[tuple[str, str, bool]] = field(default_factory=list)
    sessions: int = 0

    host = "localhost"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        password = given.password.decode()
        self.logins.append((given.login.decode(), password, session.ssl is not None or self.security == "tls"))
        right = password == self.password
        return AuthResult(success=right, handled=False, message=None if right else "535 5.7.8 wrong user name or password")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.mails += [(envelope.mail_from or "", recipient) for recipient in envelope.rcpt_tos]
        self.bodies.append(envelope.original_content or b"")
        return "250 2.0.0 OK"


@contextmanager
def running(
    folder: Path, *, password: str = "right", security: str = "starttls", names: tuple[str, ...] = ("localhost",)
) -> Iterator[AuthSmtp]:
    """`names`: those in the certificate."""
    state = AuthSmtp(password, security=security, authority=folder / "authority.pem")
    context = None if security == "none" else _context(folder, names)
    loop = asyncio.new_event_loop()
    open_sessions: list[SMTP] = []

    def session() -> SMTP:
        state.sessions += 1
        open_sessions.append(
            SMTP(
                state, hostname="auth.test", loop=loop, authenticator=state.authenticate,
                auth_require_tls=security == "starttls", auth_required=True,
                require_starttls=security == "starttls", tls_context=context if security == "starttls" else None,
            )
        )  # fmt: skip
        return open_sessions[-1]

    async def listen() -> asyncio.Server:
        return await loop.create_server(session, "127.0.0.1", 0, ssl=context if security == "tls" else None)

    async def close(server: asyncio.Server) -> None:
        server.close()
        for each in open_sessions:
            if each.transport is not None:
                each.transport.abort()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_forever, name="auth-smtp", daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        asyncio.run_coroutine_threadsafe(close(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def _context(folder: Path, names: tuple[str, ...]) -> ssl.SSLContext:
    authority_key, authority = _certificate("Test authority", None, None, ())
    key, certificate = _certificate("server", authority_key, authority, names)
    (folder / "authority.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    chain = folder / "server.pem"
    chain.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


def _certificate(
    name: str, signer: ec.EllipticCurvePrivateKey | None, issuer: x509.Certificate | None, names: tuple[str, ...]
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is None:
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = builder.add_extension(usage, critical=True)
    else:
        by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
        alternatives = x509.SubjectAlternativeName([_alternative(each) for each in names])
        builder = builder.add_extension(alternatives, critical=False).add_extension(by, critical=False)
    return key, builder.sign(signer or key, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
