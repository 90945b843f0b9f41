"""Who asks the server in `kairan bench track`: wrk where the machine has it, else a slower asyncio client of ours, named so."""

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

AGENTS = (
    "Mozilla/5.0",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.4.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
)
_LUA = """
local requests, at = {}, 0
function init(args)
  for line in io.lines("%(fetches)s") do
    local path, address, agent = line:match("^(%%S+) (%%S+) (.*)$")
    table.insert(requests, wrk.format("GET", path, {["X-Forwarded-For"] = address, ["User-Agent"] = agent}))
  end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
"""


@dataclass(frozen=True)
class Told:
    requests: int
    rate: float
    p99_ms: float
    errors: int
    """answers other than 2xx and 3xx, and broken connections"""


def name() -> str:
    return "wrk" if shutil.which("wrk") else "asyncio client (Python; not wrk, and slower than the server)"


def write(folder: Path, fetches: Iterable[tuple[str, str]]) -> None:
    """fetches: (path, address of the member)."""
    lines = [f"{path} {address} {AGENTS[at % len(AGENTS)]}" for at, (path, address) in enumerate(fetches)]
    (folder / "fetches").write_text("\n".join(lines) + "\n")
    (folder / "fetches.lua").write_text(_LUA % {"fetches": folder / "fetches"})


def fetch(folder: Path, port: int, connections: int, seconds: int) -> Told:
    wrk = shutil.which("wrk")
    if wrk is None:
        return asyncio.run(_fetch(folder, port, connections, seconds))
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(folder / "fetches.lua"), f"http://127.0.0.1:{port}/"]
    return _read(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _read(said: str) -> Told:
    requests = int(_found(r"(\d+) requests in", said))
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    scale = {"us": 0.001, "ms": 1.0, "s": 1_000.0}
    errors = sum(int(number) for line in re.findall(r"(?:Socket errors|Non-2xx).*", said) for number in re.findall(r"\b\d+\b", line[12:]))
    return Told(requests, float(_found(r"Requests/sec:\s+([\d.]+)", said)), float(p99[1]) * scale[p99[2]] if p99 else 0.0, errors)


def _found(pattern: str, said: str) -> str:
    found = re.search(pattern, said)
    if found is None:
        raise RuntimeError(f"wrk said something else: {json.dumps(said[-300:])}")
    return found[1]


# ---- without wrk


async def _fetch(folder: Path, port: int, connections: int, seconds: int) -> Told:
    asked = [_request(line) for line in (folder / "fetches").read_text().splitlines()]
    until = time.perf_counter() + seconds
    started = time.perf_counter()
    told = await asyncio.gather(*(_connection(port, asked[first:] + asked[:first], until) for first in range(connections)))
    took = time.perf_counter() - started
    times = sorted(each for spent, _errors in told for each in spent)
    return Told(len(times), len(times) / took, times[len(times) * 99 // 100] * 1_000, sum(errors for _times, errors in told))


def _request(line: str) -> bytes:
    path, address, agent = line.split(" ", 2)
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\nUser-Agent: {agent}\r\n\r\n".encode()


async def _connection(port: int, asked: list[bytes], until: float) -> tuple[list[float], int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times: list[float] = []
    errors = 0
    while (now := time.perf_counter()) < until:
        writer.write(asked[len(times) % len(asked)])
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)
        times.append(time.perf_counter() - now)
        errors += head[9:10] not in b"23"
    writer.close()
    return times, errors
