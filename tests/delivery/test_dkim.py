"""What we sign, others verify: dkimpy, which shares no line with us, is the judge."""

import hashlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import dkim
import pytest
from dkim.canonicalization import CanonicalizationPolicy
from hypothesis import given
from hypothesis import strategies as st

from mailer.delivery.dkim import ALGORITHMS, ED25519, RSA, NoHeaders, Signer, SigningKey, body_hash, new_key, record

DOMAIN = "news.example.com"


def _key(algorithm: str, selector: str) -> tuple[SigningKey, str]:
    private, public = new_key(algorithm)
    return SigningKey(DOMAIN, selector, algorithm, private), record(algorithm, public)


KEYS = {selector: _key(algorithm, selector) for algorithm, selector in ((RSA, "r1"), (ED25519, "e1"))}
DNS = {f"{selector}._domainkey.{DOMAIN}.".encode(): text.encode() for selector, (_, text) in KEYS.items()}
SIGNER = Signer([key for key, _ in KEYS.values()])

HEADERS = [
    ("From", b"=?utf-8?b?5pyI5YiK?= <news@news.example.com>"),
    ("Reply-To", b"answers@example.com"),
    ("To", b'"Sato, Hanako" <hanako@example.net>'),
    ("Subject", b"News of   the month,\r\n\tand what  is new"),
    ("Date", b"Tue, 24 Nov 2026 08:00:00 +0000"),
    ("Message-ID", b"<0123456789abcdef@news.example.com>"),
    ("List-Unsubscribe", b"<https://links.example.com/u/AbCdEf>"),
    ("List-Unsubscribe-Post", b"List-Unsubscribe=One-Click"),
    ("List-ID", b"Monthly news <list3.example.com>"),
    ("Feedback-ID", b"7:list3:campaign:00example"),
    ("MIME-Version", b"1.0"),
    ("Content-Type", b'multipart/alternative;\r\n boundary="=_0123456789"'),
    ("Content-Transfer-Encoding", b"7bit"),
]
BODY = b"--=_0123456789\r\nHello  there \t \r\n\r\n\tindented=20\r\n..\r\n--=_0123456789--\r\n\r\n\r\n"


def _message(headers=HEADERS, body=BODY) -> bytes:
    return b"".join(b"%b: %b\r\n" % (name.encode(), value) for name, value in headers) + b"\r\n" + body


def _verdicts(message: bytes) -> list[bool]:
    """One for each signature, from the top."""
    found = message.partition(b"\r\n\r\n")[0].count(b"DKIM-Signature:")
    return [_verifies(message, at) for at in range(found)]


def _verifies(message: bytes, at: int) -> bool:
    logger = logging.getLogger("dkimpy")
    logger.disabled = True
    try:
        return dkim.DKIM(message, logger=logger).verify(at, dnsfunc=lambda name, timeout=5: DNS.get(name))
    except dkim.ValidationError:
        return False


def test_one_mail_carries_a_signature_of_each_algorithm_and_both_verify():
    signed = SIGNER.sign(_message())

    assert signed.endswith(_message())
    assert b"a=rsa-sha256" in signed
    assert b"a=ed25519-sha256" in signed
    assert _verdicts(signed) == [True, True]


@pytest.mark.parametrize("name", [name for name, _ in HEADERS])
def test_one_changed_byte_in_a_signed_header_fails(name):
    value = dict(HEADERS)[name]
    at = value.index(b"e") if b"e" in value else 0
    changed = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]

    signed = SIGNER.sign(_message())
    broken = signed.replace(b"\r\n%b: %b\r\n" % (name.encode(), value), b"\r\n%b: %b\r\n" % (name.encode(), changed), 1)

    assert broken != signed
    assert _verdicts(broken) == [False, False]


def test_one_changed_byte_in_the_body_fails():
    signed = SIGNER.sign(_message())

    assert _verdicts(signed.replace(b"Hello", b"Hellp")) == [False, False]


def test_what_a_relay_may_do_to_white_space_does_not_fail():
    signed = SIGNER.sign(_message())
    folded = signed.replace(b"and what  is new", b"and\r\n what is\tnew").replace(b"Hello  there \t \r\n", b"Hello \t there\r\n")

    assert folded != signed
    assert _verdicts(folded + b"\r\n") == [True, True]


def test_a_second_from_cannot_be_put_beside_ours():
    signed = SIGNER.sign(_message())

    assert _verdicts(b"From: bank@example.org\r\n" + signed) == [False, False]
    assert _verdicts(signed.replace(b"\r\n\r\n", b"\r\nFrom: bank@example.org\r\n\r\n", 1)) == [False, False]


def test_headers_that_occur_twice_are_both_signed():
    twice = [*HEADERS, ("List-ID", b"Another <list4.example.com>")]
    signed = SIGNER.sign(_message(twice))

    assert _verdicts(signed) == [True, True]
    assert _verdicts(signed.replace(b"Another", b"Anotber")) == [False, False]


def test_headers_that_are_not_signed_may_be_added_and_only_ours_are_named():
    signed = SIGNER.sign(_message([("X-Mailer", b"none"), *HEADERS]))

    assert _verdicts(signed.replace(b"X-Mailer: none", b"Received: by relay")) == [True, True]
    assert b"x-mailer" not in signed


def test_no_line_of_a_signature_is_longer_than_78_columns():
    written = SIGNER.sign(_message())[: -len(_message())]

    assert max(map(len, written.split(b"\r\n"))) <= 78


def test_the_same_signer_signs_mails_with_other_headers():
    short = [pair for pair in HEADERS if pair[0] in ("From", "To", "Date")]

    assert _verdicts(SIGNER.sign(_message())) == [True, True]
    assert _verdicts(SIGNER.sign(_message(short))) == [True, True]
    assert _verdicts(SIGNER.sign(_message([*HEADERS[1:], HEADERS[0]]))) == [True, True]


def test_threads_share_a_signer():
    messages = [_message([*HEADERS[:3], ("Subject", b"Number %d" % at), *HEADERS[4:]]) for at in range(60)]
    with ThreadPoolExecutor(2) as pool:
        signed = [mail for piece in pool.map(SIGNER.sign_many, [messages[:30], messages[30:]]) for mail in piece]

    assert [mail.partition(b"From:")[2] for mail in signed] == [mail.partition(b"From:")[2] for mail in messages]
    assert all(_verdicts(mail) == [True, True] for mail in signed)


def test_the_time_of_signing_is_told():
    before = int(time.time())
    told = int(SIGNER.sign(_message()).partition(b" t=")[2].partition(b";")[0])

    assert before <= told <= time.time()


@pytest.mark.parametrize("message", [b"From: a@b.c\r\n", b"To: a@b.c\r\n\r\nx\r\n", b"\r\n\r\n"])
def test_what_has_no_from_or_no_body_is_not_signed(message):
    with pytest.raises(NoHeaders):
        SIGNER.sign(message)


def test_a_key_of_another_kind_is_refused():
    private, _public = new_key(ED25519)

    with pytest.raises(ValueError, match="is not rsa"):
        Signer([SigningKey(DOMAIN, "s", RSA, private)])


def test_a_private_key_is_not_shown():
    assert "private" not in repr(KEYS["r1"][0])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_alone_verifies(algorithm):
    key = next(key for key, _ in KEYS.values() if key.algorithm == algorithm)

    assert _verdicts(Signer([key]).sign(_message())) == [True]


# ---- bodies

_line = st.one_of(
    st.sampled_from([b"", b".", b"..", b" ", b"\t", b" \t ", b"From x", b"=20", b"a  b", b"a\t\tb ", b"x" * 998]),
    st.binary(max_size=90).map(lambda data: data.translate(None, b"\r\n\0")),
    st.text("ab .\t=", max_size=120).map(str.encode),
)
BODIES = st.lists(_line, max_size=12).map(lambda lines: b"".join(line + b"\r\n" for line in lines))


@given(BODIES, st.integers(0, 4))
def test_any_body_hashes_as_dkimpy_hashes_it(body, empty_lines):
    whole = body + b"\r\n" * empty_lines
    policy = CanonicalizationPolicy.from_c_value(b"relaxed/relaxed")

    assert body_hash(whole) == _sha256(policy.canonicalize_body(whole))


@given(BODIES)
def test_any_signed_body_verifies(body):
    assert _verdicts(Signer([KEYS["e1"][0]]).sign(_message(body=body))) == [True]


@given(st.binary(max_size=200).map(lambda data: b" %b " % data.replace(b"\r", b"").replace(b"\n", b"")))
def test_a_nul_changes_nothing(data):
    body = b"a\0b  c \r\n" + data + b"\r\n"
    policy = CanonicalizationPolicy.from_c_value(b"relaxed/relaxed")

    assert body_hash(body) == _sha256(policy.canonicalize_body(body))


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
