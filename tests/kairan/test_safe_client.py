"""A request to an address that somebody else chose reaches the public internet or nothing, once, and ends in time."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kairan import safe_client
from kairan.safe_client import Refused, Unreachable
from tests.support import auth_smtp

HERE = safe_client.allowed_networks("127.0.0.0/8")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere"


class Server:
    """Answers each connection on 127.0.0.1 by `talk`, and keeps what it was asked."""

    def __init__(self, talk: Callable[[socket.socket], None], context: ssl.SSLContext | None) -> None:
        self.asked: list[bytes] = []
        self._talk, self._context = talk, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    secure = self._context.wrap_socket(connection, server_side=True) if self._context else connection
                    with secure:
                        self.asked.append(secure.recv(65_536))
                        self._talk(secure)
                except OSError:
                    pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@contextmanager
def serving(talk: Callable[[socket.socket], None] | bytes, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(talk if callable(talk) else lambda connection: connection.sendall(talk), context)
    try:
        yield server
    finally:
        server.close()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "0x7f.1", "2130706433", "0177.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]",
        "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fc00::1]", "[fec0::1]", "224.0.0.1",
        "[ff02::1]", "255.255.255.255", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[::127.0.0.1]", "192.0.2.1",
        "240.0.0.1",
    ],
)  # fmt: skip
def test_nothing_but_the_public_internet_is_asked(host):
    with pytest.raises(Refused, match="not on the public internet"):
        safe_client.post(f"http://{host}/hook", b"{}", {})


@pytest.mark.parametrize(
    "url",
    ["ftp://example.org/", "file:///etc/passwd", "https://", "https://me:pw@example.org/", "http://exa mple.org/", "https://例え.jp/", "http://x:99999/",
     "http://example.org/a\r\nX-Evil: 1"],
)  # fmt: skip
def test_only_web_addresses_are_asked(url):
    with pytest.raises(Refused):
        safe_client.check(url, resolve=lambda host, port: ["93.184.215.14"])


def test_only_the_ports_of_the_web_are_asked():
    with pytest.raises(Refused, match="ports 80 and 443"):
        safe_client.check("https://example.org:6379/", resolve=lambda host, port: ["93.184.215.14"])


def test_one_private_answer_among_public_ones_is_enough_to_refuse():
    with pytest.raises(Refused):
        safe_client.check("https://example.org/", resolve=lambda host, port: ["93.184.215.14", "127.0.0.1"])


def test_a_name_is_asked_once_so_it_cannot_answer_otherwise_the_second_time():
    looked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        looked.append(host)
        return ["127.0.0.1"] if len(looked) == 1 else ["169.254.169.254"]

    with serving(OK) as server:
        answer = safe_client.post(f"http://hook.example:{server.port}/a?b=c", b"{}", {"X-One": "1"}, private=HERE, resolve=rebinding)

    assert looked == ["hook.example"]
    assert (answer.status, answer.body) == (200, b"there")
    assert server.asked[0].startswith(f"POST /a?b=c HTTP/1.1\r\nHost: hook.example:{server.port}\r\n".encode())
    assert server.asked[0].endswith(b"X-One: 1\r\n\r\n{}")


def test_a_redirect_is_an_answer_and_is_not_followed():
    with serving(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n") as server:
        answer = safe_client.post(f"http://127.0.0.1:{server.port}/", b"", {}, private=HERE)

    assert answer.status == 302
    assert len(server.asked) == 1


def test_a_slow_drip_ends_at_the_deadline():
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not ended.wait(0.02):
            connection.sendall(b"X: y\r\n")

    with serving(drip) as server:
        with pytest.raises(Unreachable):
            safe_client.post(f"http://127.0.0.1:{server.port}/", b"", {}, private=HERE, timeout_s=0.3)
        ended.set()


def test_a_resolver_that_hangs_ends_at_the_deadline():
    released = threading.Event()
    with pytest.raises(Unreachable, match="in time"):
        safe_client.check("https://example.org/", resolve=lambda host, port: _hang(released))
    released.set()


def _hang(released: threading.Event) -> list[str]:
    released.wait(30)
    return []


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(safe_client, "TIMEOUT_S", 1.0)


def test_an_answer_is_read_as_far_as_was_asked():
    with serving(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n0\r\n\r\n") as server:
        answer = safe_client.request("GET", f"http://127.0.0.1:{server.port}/", private=HERE, answer_max=100)

    assert answer.body == b"x" * 100


@pytest.mark.parametrize("said", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort"])
def test_what_is_not_http_is_no_answer(said):
    with serving(said) as server, pytest.raises(Unreachable):
        safe_client.request("GET", f"http://127.0.0.1:{server.port}/", private=HERE)


def test_the_certificate_is_that_of_the_name(tmp_path):
    context = auth_smtp._context(tmp_path, ("hook.example",))
    trusted = ssl.create_default_context(cafile=tmp_path / "authority.pem")
    options = {"private": HERE, "trusted": trusted, "resolve": lambda host, port: ["127.0.0.1"]}

    with serving(OK, context) as server:
        assert safe_client.request("GET", f"https://hook.example:{server.port}/", **options).status == 200
        with pytest.raises(Unreachable, match="TLS fails"):
            safe_client.request("GET", f"https://other.example:{server.port}/", **options)


def test_a_header_cannot_smuggle_another():
    with pytest.raises(Refused, match="line break"):
        safe_client.post("https://example.org/", b"", {"X": "1\r\nY: 2"})
