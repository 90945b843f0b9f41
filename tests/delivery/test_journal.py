"""The journal tells after any death how far each attempt came; what cannot be read is never taken for "not sent"."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.delivery import journal
from mailer.delivery.journal import RECORD, SEGMENT_RECORDS, Answer, Folder, Journal


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "journal")


def test_dots_and_replies_are_read_back(folder: Folder) -> None:
    living = Journal(folder, 7)
    living.dot(1, 1)
    living.reply(1, 1, 250, "2.0.0 queued")
    living.dot(2, 3)
    living.abandon()

    found = journal.read(folder, 7)

    assert found.dots == {(1, 1), (2, 3)}
    assert found.answers == {(1, 1): Answer(250, "2.0.0 queued")}
    assert not found.torn


def test_a_living_lane_cannot_be_taken_for_dead(folder: Folder) -> None:
    living = Journal(folder, 7)

    assert journal.hold_lock(folder.lock_path(7)) is None

    living.abandon()
    lock = journal.hold_lock(folder.lock_path(7))
    assert lock is not None
    os.close(lock)


def test_recorded_segments_go_and_the_lock_stays(folder: Folder) -> None:
    living = Journal(folder, 7)
    for number in range(SEGMENT_RECORDS):
        living.dot(number, 1)
        living.reply(number, 1, 250, "")
        living.recorded(number, 1)

    assert len(folder.segments(7)) == 1  # the one being written
    assert folder.lock_path(7).exists()

    living.close()
    assert folder.lanes() == []
    assert folder.segments(7) == []


def test_a_segment_with_an_unrecorded_reply_stays(folder: Folder) -> None:
    living = Journal(folder, 7)
    for number in range(SEGMENT_RECORDS // 2):
        living.dot(number, 1)
        living.reply(number, 1, 250, "")
    for number in range(1, SEGMENT_RECORDS // 2):
        living.recorded(number, 1)
    living.dot(99_999, 1)

    assert len(folder.segments(7)) == 2
    living.abandon()
    assert (0, 1) in journal.read(folder, 7).answers


def _written(folder: Folder, records: int) -> Path:
    living = Journal(folder, 7)
    for number in range(records):
        living.dot(number, 1)
    living.abandon()
    return folder.segments(7)[0]


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=1, max_value=RECORD * 8), st.data())
def test_a_journal_cut_anywhere_is_torn(tmp_path_factory: pytest.TempPathFactory, cut: int, data: st.DataObject) -> None:
    folder = Folder(tmp_path_factory.mktemp("journal"))
    segment = _written(folder, 8)
    os.truncate(segment, cut)

    found = journal.read(folder, 7)

    assert found.torn
    assert found.dots == {(number, 1) for number in range(cut // RECORD)}


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=0, max_value=RECORD * 8 - 1), st.integers(min_value=1, max_value=255))
def test_a_flipped_bit_is_never_read_as_another_attempt(tmp_path_factory: pytest.TempPathFactory, at: int, mask: int) -> None:
    folder = Folder(tmp_path_factory.mktemp("journal"))
    segment = _written(folder, 8)
    content = bytearray(segment.read_bytes())
    content[at] ^= mask
    segment.write_bytes(content)

    found = journal.read(folder, 7)

    assert found.torn
    assert found.dots == {(number, 1) for number in range(at // RECORD)}


def test_a_hole_before_a_written_record_is_torn(folder: Folder) -> None:
    segment = _written(folder, 3)
    content = bytearray(segment.read_bytes())
    content[RECORD : 2 * RECORD] = bytes(RECORD)
    segment.write_bytes(content)

    assert journal.read(folder, 7).torn


def test_two_folders_are_two_places(tmp_path: Path) -> None:
    assert Folder(tmp_path / "a").place != Folder(tmp_path / "b").place
    assert Folder(tmp_path / "a").place == Folder(tmp_path / "a").place
