"""`kairan bench sign`: signatures a second of our DKIM signer over all cores, beside `openssl speed` in the same run."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from mailer.bench import sample
from mailer.compose import compiler
from mailer.compose.recipient import Marks, Recipient
from mailer.delivery.dkim import ED25519, RSA, RSA_BITS, Signer, SigningKey, new_key

SIZE = 20_000
_PIECE = 10
"""mails between two looks at the clock"""


def measure(*, seconds: float = 3.0, rounds: int = 5) -> Iterator[tuple[str, object]]:
    """Pairs to print, the ratio last: that of the round in the middle. Without openssl there is no control and no ratio."""
    message = _message()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rsa, both = Signer([_key(RSA)]), Signer([_key(RSA), _key(ED25519)])
    yield "machine", f"{cores} cores, {platform.machine()}, Python {platform.python_version()}"
    yield "message_bytes", len(message)
    yield "signs_per_s_one_thread", round(_rate(rsa, message, 1, seconds))
    yield "signs_per_s_with_ed25519", round(_rate(both, message, cores, seconds))
    openssl = shutil.which("openssl")
    if openssl is None:
        yield "signs_per_s", round(_rate(rsa, message, cores, seconds))
        yield "control", "none: there is no openssl on this machine"
        return
    pairs = [(_openssl(openssl, cores, seconds), _rate(rsa, message, cores, seconds)) for _ in range(rounds)]
    control, rate = sorted(pairs, key=lambda pair: pair[1] / pair[0])[len(pairs) // 2]
    yield "signs_per_s", round(rate)
    yield "control", f"openssl speed -elapsed -multi {cores} rsa{RSA_BITS}"
    yield "control_signs_per_s", round(control)
    yield "ratios", " ".join(f"{ours / theirs:.2f}" for theirs, ours in pairs)
    yield "ratio", f"{rate / control:.2f}"


def _key(algorithm: str) -> SigningKey:
    return SigningKey("bench.example", f"bench-{algorithm}", algorithm, new_key(algorithm)[0])


def _message() -> bytes:
    """One mail of the campaign that `kairan bench send` sends."""
    source = compiler.Source(
        campaign_id=1, campaign_name="Bench", revision=1, subject="News of the month, {{ member.first_name }}", preheader="What is new",
        from_name="Bench", from_email="news@bench.example", reply_to=None, html=sample.html(SIZE), text=None,
        record_opens=True, record_clicks=True, organisation=compiler.Organisation("Bench", "1 Loop", "a@bench.example"),
        base_url="https://links.bench.example", list_id="list1.bench.example", list_name="Bench", unsubscribe_mailto=None,
        message_domain="bench.example",
    )  # fmt: skip
    marks = Marks(trace=b"t" * 36, act=b"a" * 36, message_id=b"0" * 32, date=b"Tue, 24 Nov 2026 08:00:00 +0000")
    recipient = Recipient(
        number=1, member_id=1, email="a@b.example", first_name="Anna", last_name="Müller", locale="en", attributes={}
    )  # fmt: skip
    return compiler.compile_source(source).programs["html", "en"].splice(recipient, marks)


def _rate(signer: Signer, message: bytes, threads: int, seconds: float) -> float:
    def work(until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            for _ in range(_PIECE):
                signer.sign(message)
            done += _PIECE
        return done

    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        done = sum(pool.map(work, [started + seconds] * threads))
        return done / (time.perf_counter() - started)


def _openssl(command: str, cores: int, seconds: float) -> float:
    """Signs a second by the clock on the wall, as ours are; without `-elapsed` it counts CPU time."""
    arguments = ["speed", "-mr", "-elapsed", "-seconds", str(max(round(seconds), 1)), "-multi", str(cores), f"rsa{RSA_BITS}"]
    told = subprocess.run([command, *arguments], check=True, capture_output=True, text=True).stdout
    # The last +F2 line is the sum over all processes, in operations a second; OpenSSL 1.1 told seconds an operation.
    line = [line for line in told.splitlines() if line.startswith("+F2:")][-1]
    value = float(line.split(":")[3])
    return value if value > 1 else 1 / value
