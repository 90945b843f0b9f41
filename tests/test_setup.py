"""What the repository promises to whoever clones it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("lock", ["run.txt", "dev.txt", "uv.txt"])
def test_locks_pin_every_package_by_hash_and_name_no_host(lock):
    entries = _entries(lock)

    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert [entry for entry in entries if "://" in entry] == []


@pytest.mark.parametrize("lock", ["frontend/package-lock.json", "tests/browser/package-lock.json"])
def test_npm_locks_name_no_registry(lock):
    assert '"resolved"' not in (ROOT / lock).read_text()


def test_the_tests_run_on_what_the_product_runs_on():
    assert _pins("run.txt") <= _pins("dev.txt")


def _entries(lock: str) -> list[str]:
    """One string a package: its pin, and its hashes behind it."""
    text = (ROOT / "requirements" / lock).read_text()
    return re.findall(r"^[a-z0-9].*(?:\n {4}.*)*", text, re.MULTILINE)


def _pins(lock: str) -> set[str]:
    return {entry.split()[0] for entry in _entries(lock)}
