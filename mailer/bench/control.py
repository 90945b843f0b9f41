"""What sending is compared with: Postfix's smtp-source, else a floor sender of our own, named so (no claim of S1 is made with it)."""

import asyncio
import shutil
import subprocess
import time
from pathlib import Path

from mailer.bench.sink import Sink

SESSIONS = 20


def measure(sink: Sink, count: int, size: int) -> tuple[str, float]:
    """(name of the control, messages a second) into the same sink."""
    source = shutil.which("smtp-source") or _beside_postfix()
    started = time.perf_counter()
    if source:
        command = [source, "-d", "-s", str(SESSIONS), "-l", str(size), "-m", str(count), f"inet:127.0.0.1:{sink.port}"]
        subprocess.run(command, check=True, capture_output=True)
        return "smtp-source", count / (time.perf_counter() - started)
    _floor(sink.port, count, size)
    return "floor sender (Python, no database; not smtp-source)", count / (time.perf_counter() - started)


def _beside_postfix() -> str | None:
    found = Path("/usr/sbin/smtp-source")
    return str(found) if found.exists() else None


def _floor(port: int, count: int, size: int) -> None:
    import uvloop

    uvloop.run(_send_all(port, count, size))


async def _send_all(port: int, count: int, size: int) -> None:
    message = b"Subject: floor\r\n\r\n" + (b"x" * 70 + b"\r\n") * (size // 72) + b".\r\n"
    shares = [count // SESSIONS + (at < count % SESSIONS) for at in range(SESSIONS)]
    await asyncio.gather(*(_session(port, share, message) for share in shares))


async def _session(port: int, count: int, message: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(b"EHLO floor\r\n")
    while (await reader.readline())[3:4] == b"-":
        pass
    for _ in range(count):
        writer.write(b"MAIL FROM:<a@floor.example>\r\nRCPT TO:<b@floor.example>\r\nDATA\r\n")
        for _reply in range(3):
            await reader.readline()
        writer.write(message)
        await reader.readline()
    writer.close()
