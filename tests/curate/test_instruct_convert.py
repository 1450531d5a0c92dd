"""``yanmo curate instruct convert``: the ledger, the rejects, the forms of files."""

import gzip
import json
from pathlib import Path

import pytest
import zstandard

from tests.command import command, said, usage_error
from yanmo.messages import read_objects

GOOD = {"instruction": "翻译", "input": "天", "output": "sky"}
OPEN = {"messages": [{"role": "user", "content": "q"}]}
UNKNOWN = {"question": "q", "answer": "a"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [json.dumps(GOOD), "{torn", json.dumps(OPEN), "[1]", json.dumps(UNKNOWN),
             json.dumps({**GOOD, "output": "\ud800"})]  # fmt: skip
    path = tmp_path / "in.json"  # the suffix says nothing
    path.write_text("\n".join(lines))
    return path


def lines(path: Path) -> list[dict[str, object]]:
    return [record for _, record in read_objects(path)]


def test_ledger_and_rejects(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    ended = command("curate", "instruct", "convert", data, "--to", "alpaca", "--out", out, "--json")
    assert ended.code == 0, ended.err
    told = ended.json()
    assert (told["read"], told["written"], told["rejected"]) == (6, 1, 5)
    assert told["formats"] == {"alpaca": 2, "openai": 1}
    assert lines(out) == [GOOD]
    rejects = lines(tmp_path / "out.jsonl.rejects.jsonl")
    assert [r["record"] for r in rejects] == ["{torn\n", OPEN, "[1]", UNKNOWN,
                                              {**GOOD, "output": "\ud800"}]  # fmt: skip
    for reject, word in zip(rejects, ["line 2", "question", "in.json#3", "question, answer",
                                      "half of a character pair"], strict=True):  # fmt: skip
        assert word in str(reject["reason"])
    assert sum(told["reasons"].values()) == 5


def test_without_rejects_no_file_of_them_stays(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    command("curate", "instruct", "convert", data, "--to", "alpaca", "--out", out)
    data.write_text(json.dumps(GOOD))
    command("curate", "instruct", "convert", data, "--to", "alpaca", "--out", out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.json", "out.jsonl"]


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".jsonl.gz", ".json.zst"])
def test_forms_of_files(tmp_path: Path, suffix: str) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / f"out.v1{suffix}"
    source.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD))
    for _ in range(2):
        ended = command("curate", "instruct", "convert", source, "--to", "belle-0.5m",
                        "--out", out)  # fmt: skip
        assert ended.code == 0, ended.err
        before = out.read_bytes()
    assert out.read_bytes() == before
    raw = before
    if suffix.endswith("gz"):
        raw = gzip.decompress(before)
    elif suffix.endswith("zst"):
        raw = zstandard.ZstdDecompressor().stream_reader(before).read()
    assert raw.lstrip().startswith(b"[" if ".json." in f"{suffix}." else b"{")
    assert [r["input"] for r in lines(out)] == ["翻译\n天"] * 2


def test_folders_ids_and_limits(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "b").mkdir(parents=True)
    (folder / "a.json").write_text(json.dumps([GOOD, GOOD]))
    (folder / "b" / "c.jsonl").write_text(json.dumps(GOOD))
    (folder / "README.md").write_text("no data")
    out = tmp_path / "out.jsonl"
    options = ("--to", "openai", "--out", out, "--ids")
    assert command("curate", "instruct", "convert", folder, *options).code == 0
    assert [r["id"] for r in lines(out)] == ["a.json#0", "a.json#1", "c.jsonl#0"]
    assert command("curate", "instruct", "convert", folder, *options, "--limit", 1).code == 0
    assert len(lines(out)) == 1


def test_nothing_converted_is_a_failure(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps(UNKNOWN))
    ended = command("curate", "instruct", "convert", source, "--to", "openai", "--out", out)
    assert ended.code == 1
    said(ended, "no record could be converted", "question, answer", "rejects.jsonl")
    assert not out.exists()


def test_lossy_counts_what_is_left_out(tmp_path: Path) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({**GOOD, "system": "s", "history": [["a", "b"]]}))
    ended = command("curate", "instruct", "convert", source, "--to", "firefly", "--out", out,
                    "--lossy", "--json")  # fmt: skip
    assert ended.json()["losses"] == {"firefly has no place for a system message": 1}
    assert len(lines(out)[0]["conversation"]) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("--to", "alpcaa"), ("unknown format", "alpaca")),
        (("--to", "openai", "--from", "sharegtp"), ("unknown format", "sharegpt")),
        (("--to", "openai", "--out", "x.txt"), (".jsonl or .json",)),
    ],
)  # fmt: skip
def test_mistyped(data: Path, tmp_path: Path, changed: tuple[str, ...], words: tuple[str]) -> None:
    ended = command("curate", "instruct", "convert", data, "--out", tmp_path / "o.jsonl", *changed)
    usage_error(ended, *words)


def test_missing_inputs(tmp_path: Path) -> None:
    options = ("--to", "openai", "--out", tmp_path / "o.jsonl")
    usage_error(command("curate", "instruct", "convert", tmp_path / "no.json", *options), "no.json")
    (tmp_path / "empty").mkdir()
    usage_error(command("curate", "instruct", "convert", tmp_path / "empty", *options), "no .json")


@pytest.mark.realdata
def test_real_files_there_and_back(realdata: Path, tmp_path: Path) -> None:
    """Every published file comes back record for record."""
    ways = {
        "alpaca_zh_demo.json": ("openai", "alpaca"), "alpaca_en_demo.json": ("moss", "alpaca"),
        "belle_zh_seed_tasks.jsonl": ("sharegpt", "self-instruct"),
        "sharegpt_zh_1k.jsonl": ("openai", "sharegpt"), "dpo_zh_demo.json": ("preference", "dpo"),
        "dpo_zh_500.jsonl": ("preference", "dpo-text"),
        "firefly_sample.jsonl": ("alpaca", "firefly"),
        "medical_sft_1k.jsonl": ("alpaca", "sharegpt"),
    }  # fmt: skip
    for name, (through, back) in ways.items():
        first, second = tmp_path / "1.jsonl.zst", tmp_path / "2.jsonl"
        source = realdata / "instruct" / f"{name}.zst"
        for start, end, to in [(source, first, through), (first, second, back)]:
            ended = command("curate", "instruct", "convert", start, "--to", to, "--out", end)
            assert ended.code == 0, ended.err
        assert lines(second) == lines(source), name
