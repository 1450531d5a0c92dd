"""The books themselves: what does not balance is an error."""

from pathlib import Path

import pytest

from yanmo.curate.ledger import (
    RAW_BYTES,
    Books,
    ByteLedger,
    Quarantine,
    Rejected,
    add_totals,
    check_total,
    empty_total,
)
from yanmo.errors import LedgerError

from .read_audit import rows_of


def books() -> tuple[ByteLedger, Books]:
    ledger = ByteLedger(Quarantine())
    return ledger, ledger.open("a", source="s")


@pytest.mark.parametrize("start", [9, 11])
def test_spans_must_follow_one_another(start: int) -> None:
    _, one = books()
    one.page(0, 10)
    with pytest.raises(LedgerError, match="stand at 10"):
        one.skip(start, 1, "blank line")


def test_bytes_that_came_in_must_be_booked() -> None:
    ledger, one = books()
    one.found()
    one.page(0, 10)
    one.use_stored(0, 10)
    with pytest.raises(LedgerError, match="11 content bytes came in but 10"):
        ledger.close(one, content=11, stored=10)
    with pytest.raises(LedgerError, match="12 stored bytes came in"):
        ledger.close(one, content=10, stored=12)
    with pytest.raises(LedgerError, match="has 13 bytes but 10 were read"):
        ledger.close(one, content=10, stored=10, on_disk=13)


def test_every_candidate_has_a_fate() -> None:
    ledger, one = books()
    one.found(2)
    one.page(0, 10)
    one.use_stored(0, 10)
    with pytest.raises(LedgerError, match="records do not balance: 2 read = 1 pages"):
        ledger.close(one, content=10, stored=10)


def test_every_page_must_leave() -> None:
    ledger, one = books()
    one.found()
    one.page(0, 10)
    one.use_stored(0, 10)
    ledger.close(one, content=10, stored=10)
    with pytest.raises(LedgerError, match="1 pages are on the books but 0 were handed on"):
        ledger.check()
    ledger.hand_on(1)
    ledger.check()


def test_totals_add_up_over_ledgers() -> None:
    total = empty_total()
    for _ in range(3):
        ledger, one = books()
        one.found(2)
        one.page(0, 10)
        one.skip(10, 5, "request")
        one.use_stored(0, 15)
        ledger.close(one, content=15, stored=15)
        add_totals(total, ledger.as_dict())
    assert total["records"] == {"read": 6, "pages": 3, "skipped": {"request": 3}, "quarantined": 0}
    assert (total["files"], total["content"]["bytes"]) == (3, 45)
    check_total(total)
    total["stored"]["used"] -= 1
    with pytest.raises(LedgerError, match="stored do not balance"):
        check_total(total)


@pytest.mark.parametrize(
    ("raw", "kept", "encoding"),
    [
        ("研".encode(), "研", "utf-8"),
        (b"\xff", "/w==", "base64"),
        ("墨".encode() * RAW_BYTES, "墨" * (RAW_BYTES // 3), "utf-8"),
        ("墨".encode()[:2], "5aI=", "base64"),
        (b"", "", "utf-8"),
    ],
)
def test_raw_bytes_in_the_quarantine(tmp_path: Path, raw: bytes, kept: str, encoding: str) -> None:
    path = tmp_path / "q.jsonl.zst"
    with Quarantine(path) as quarantine:
        quarantine.add(
            Rejected(
                source="s", file="f", offset=1, length=len(raw), kind="k", error="e\ud800", raw=raw,
                step="extract", records=2,
            )
        )  # fmt: skip
        assert quarantine.kinds == {"k": 2}
    (row,) = rows_of(path.read_bytes())
    assert (row["raw"], row["raw_encoding"], row["step"]) == (kept, encoding, "extract")
    assert list(row) == [
        "source", "file", "offset", "length", "kind", "error", "raw", "space", "records", "step",
        "raw_encoding",
    ]  # fmt: skip


def test_an_empty_quarantine_is_a_readable_file(tmp_path: Path) -> None:
    with Quarantine(tmp_path / "q.jsonl.zst"):
        pass
    assert rows_of((tmp_path / "q.jsonl.zst").read_bytes()) == []
