"""A name server on loopback that answers from a table: real questions over UDP and TCP, in dnspython's wire format."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.resolver
import dns.rrset
from dns.rdataclass import IN
from dns.rdatatype import RdataType


class DnsServer:
    """`put("a.example", "TXT", '"text"')`; names that are not there do not exist."""

    def __init__(self) -> None:
        self.table: dict[tuple[str, str], list[str]] = {}
        self.silent: set[str] = set()
        """names that get no answer at all"""
        self.refusing: set[str] = set()
        """names answered with SERVFAIL"""
        self.asked: list[str] = []
        self.port = 0

    def put(self, name: str, kind: str, *values: str) -> None:
        """TXT values as plain text; they are cut into strings of 255 bytes here."""
        self.table[f"{name.lower().rstrip('.')}.", kind] = [_quoted(value) if kind == "TXT" else value for value in values]

    def remove(self, name: str, kind: str) -> None:
        self.table.pop((f"{name}.", kind), None)

    def resolver(self) -> dns.resolver.Resolver:
        made = dns.resolver.Resolver(configure=False)
        made.nameservers, made.port = ["127.0.0.1"], self.port
        return made

    def answer(self, wire: bytes, *, over_udp: bool) -> bytes | None:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text().lower(), RdataType(question.rdtype).name
        self.asked.append(f"{kind} {name}")
        if name.rstrip(".") in self.silent:
            return None
        response = dns.message.make_response(query)
        if name.rstrip(".") in self.refusing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in self.table:
            response.answer.append(dns.rrset.from_text_list(question.name, 60, IN, question.rdtype, self.table[name, kind]))
        elif not any(known == name for known, _ in self.table):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if over_udp and len(response.to_wire()) > 512:  # RFC 1035 4.2.1: then the same is asked over TCP
            response.answer, response.flags = [], response.flags | dns.flags.TC
        return response.to_wire()


def _quoted(text: str) -> str:
    return " ".join(f'"{text[at : at + 255]}"' for at in range(0, max(len(text), 1), 255))


@contextmanager
def running() -> Iterator[DnsServer]:
    zone = DnsServer()

    class Datagram(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wire, sock = self.request
            answer = zone.answer(wire, over_udp=True)
            if answer is not None:
                sock.sendto(answer, self.client_address)

    class Stream(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = int.from_bytes(self.rfile.read(2), "big")
            answer = zone.answer(self.rfile.read(length), over_udp=False)
            if answer is not None:
                self.wfile.write(len(answer).to_bytes(2, "big") + answer)

    with _both(Datagram, Stream) as servers:
        zone.port = int(servers[0].server_address[1])
        threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in servers]
        for thread in threads:
            thread.start()
        try:
            yield zone
        finally:
            for server in servers:
                server.shutdown()
            for thread in threads:
                thread.join()


@contextmanager
def _both(datagram: type, stream: type) -> Iterator[tuple[socketserver.BaseServer, ...]]:
    """One port number for UDP and TCP: somebody may hold the other half of a free one, then another is tried."""
    while True:
        udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), datagram)
        udp.daemon_threads = True
        try:
            tcp = _Tcp(("127.0.0.1", udp.server_address[1]), stream)
            break
        except OSError:
            udp.server_close()
    with udp, tcp:
        yield udp, tcp


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    address_family = socket.AF_INET
