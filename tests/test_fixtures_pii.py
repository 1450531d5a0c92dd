"""The labelled set for personal data: made as its README says, every label true to its type."""

import ipaddress
import json
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from datetime import date
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "pii"
SHAPES = {
    "email": r"(?i)[a-z0-9._+]+@[a-z0-9.-]+\.[a-z]+",
    "mobile": r"(\(?\+86\)?[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}",
    "landline": r"(\+86-)?[(（]?0?[1-9]\d{1,2}[)）]?[ -]?[2-8]\d{2,3} ?\d{4}",
    "id_card": r"\d{17}[\dXx]",
    "bank_card": r"(\d ?){16,19}",
    "plate": r"[\u4e00-\u9fff][A-Z][· ]?[0-9A-HJ-NP-Z]{4,6}挂?",
    "wechat": r"[A-Za-z][A-Za-z0-9_-]{5,19}",
    "qq": r"[1-9]\d{4,10}",
    "ip": r"[0-9a-f.:]+",
}


def records(name: str) -> list[dict[str, object]]:
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def luhn(number: str) -> int:
    doubled = [2 * int(d) if i % 2 else int(d) for i, d in enumerate(reversed(number))]
    return sum(n - 9 * (n > 9) for n in doubled) % 10


def assert_valid(kind: str, value: str) -> None:
    assert re.fullmatch(SHAPES[kind], value), (kind, value)
    if kind == "id_card":
        total = sum(int(d) * (1 << (17 - i)) for i, d in enumerate(value[:17])) % 11
        assert "10X98765432"[total] == value[17].upper()
        date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
    elif kind == "bank_card":
        digits = value.replace(" ", "")
        assert 16 <= len(digits) <= 19
        assert luhn(digits) == 0
    elif kind == "ip":
        assert ipaddress.ip_address(value).is_global


def test_every_label_is_true_to_its_type() -> None:
    counts: Counter[str] = Counter()
    for record in records("positives"):
        text, spans = record["text"], record["spans"]
        assert isinstance(text, str)
        assert isinstance(spans, list)
        assert spans
        for span in spans:
            value = unicodedata.normalize("NFKC", text[span["start"] : span["end"]])
            if span["type"] == "landline":
                value = text[span["start"] : span["end"]]
            assert_valid(span["type"], value)
            counts[span["type"]] += 1
    assert set(counts) == set(SHAPES)
    assert min(counts.values()) >= 35


def test_lookalikes_have_no_label_and_many_kinds() -> None:
    found = records("lookalikes")
    assert all(record["spans"] == [] for record in found)
    assert len({record["kind"] for record in found}) > 30


def test_a_thousand_different_texts_from_many_templates() -> None:
    for name in ("positives", "lookalikes"):
        lines = (FOLDER / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
        assert len(set(lines)) == len(lines) >= 120
        assert len({str(record["text"]) for record in records(name)}) == 500


def test_generator_writes_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "make.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True)
    for name in ("positives.jsonl", "lookalikes.jsonl"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()
