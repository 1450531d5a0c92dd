"""What-if judgements and comparisons of runs, held against real runs of the same recipe."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.command import command
from tests.conftest import ROOT

SAMPLE = sorted((ROOT / "fixtures" / "demo").glob("*.warc.gz"))
MOVED: list[tuple[str, ...]] = [
    ("rules.zh.min_chars=400", "rules.en.min_words=120", "duplicates.min_jaccard=0.95"),
    ("decide=false", "duplicates.near=false"),
    ("rules.languages=['zh']", "duplicates.keep=earliest"),
]


def run(out: Path, *settings: str) -> dict[str, Any]:
    flags = [part for setting in settings for part in ("--set", setting)]
    ended = command("curate", "run", *SAMPLE, "--out", out, "--json", "-q", *flags)
    assert ended.code == 0, ended.err
    report: dict[str, Any] = ended.json()
    return report


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over the bundled sample."""
    out = tmp_path_factory.mktemp("plain") / "run"
    run(out)
    return out


def outcomes(folder: Path) -> dict[str, str]:
    kept = pl.read_parquet(folder / "documents" / "*.parquet", columns=["id"])["id"]
    dropped = pl.read_parquet(folder / "dropped" / "*.parquet", columns=["id", "rule"])
    return dict.fromkeys(kept, "kept") | dict(dropped.rows())


@pytest.mark.parametrize("moved", MOVED, ids=lambda m: m[0])
def test_whatif_says_what_a_run_would_do(
    plain: Path, moved: tuple[str, ...], tmp_path: Path
) -> None:
    flags = [part for setting in moved for part in ("--set", setting)]
    ended = command("curate", "whatif", plain, *flags, "--json", "--samples", 10_000, "-q")
    assert ended.code == 0, ended.err
    said = ended.json()
    real = run(tmp_path / "real", *moved)
    # Pages without text are dropped before anything is measured; they are in neither column.
    assert real["dropped"].pop("no_main_content") == 2
    assert real["dropped"].pop("no_text_left") == 1
    assert said["after"] == {"kept": real["kept"], **real["dropped"]}
    assert said["chars_after"] == real["characters"]["kept"]
    before, after = outcomes(plain), outcomes(tmp_path / "real")
    changed = {i: (before[i], after[i]) for i in before if before[i] != after[i]}
    assert said["changed"] == len(changed) > 0
    named = {i: (f["before"], f["after"]) for f in said["flows"] for i in f["samples"]}
    assert named == changed


def test_whatif_leaves_the_run_alone_and_can_change_nothing(plain: Path) -> None:
    def bytes_of() -> dict[str, bytes]:
        files = [p for p in plain.rglob("*") if p.is_file() and ".cache" not in p.parts]
        return {str(p): p.read_bytes() for p in files}

    held = bytes_of()
    assert command("curate", "whatif", plain, "--set", "rules.zh.min_words=300", "-q").code == 0
    assert bytes_of() == held
    same = command("curate", "whatif", plain, "--json", "-q").json()
    assert (same["changed"], same["fresh_tasks"]) == (0, 0)
    assert same["before"] == same["after"]
    assert same["tokens_before"] == same["tokens_after"] > 0


@pytest.mark.parametrize(
    ("setting", "code", "message"),
    [
        ("normalize.nfc=false", 2, "'normalize'"),
        ("measure.published_en=true", 2, "'measure'"),
        ("rules.zh.min_wrods=3", 2, "Did you mean 'min_words'"),
        ("rules.zh.min_words=many", 2, "rules.zh.min_words"),
    ],
)
def test_whatif_refuses_what_it_cannot_answer(
    plain: Path, setting: str, code: int, message: str
) -> None:
    ended = command("curate", "whatif", plain, "--set", setting)
    assert ended.code == code
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_whatif_needs_the_cache(plain: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    for name in ("manifest.json", "funnel.json", "recipe.toml"):
        moved.mkdir(exist_ok=True)
        (moved / name).write_bytes((plain / name).read_bytes())
    ended = command("curate", "whatif", moved)
    assert ended.code == 1
    assert "the cache of the run is gone" in ended.err


def test_two_runs_are_told_apart(plain: Path, tmp_path: Path) -> None:
    other = tmp_path / "strict"
    moved = ("rules.en.min_words=200", "duplicates.near=false", "pii.action=drop")
    run(other, *moved)
    ended = command("curate", "report", other, "--against", plain, "--json")
    assert ended.code == 0, ended.err
    said = ended.json()
    before, after = outcomes(plain), outcomes(other)
    changed = [(before[i], after[i]) for i in before if before[i] != after[i]]
    assert {(f["before"], f["after"]): f["documents"] for f in said["flows"]} == {
        pair: changed.count(pair) for pair in set(changed)
    }
    for name, folder in (("chars_before", plain), ("chars_after", other)):
        funnel = json.loads((folder / "funnel.json").read_text())
        assert said[name] == funnel["characters"]["kept"]
    assert said["settings"] == {
        "pii.action": ["off", "drop"],
        "duplicates.near": [True, False],
        "rules.en.min_words": [50, 200],
    }
    page = Path(said["report"]).read_text(encoding="utf-8")
    for flow in said["flows"]:
        assert f"{flow['before']} → {flow['after']}" in page
    assert run(other, *moved)["fresh_tasks"] == 0  # the page is no foreign file there
    told = command("curate", "report", other, "--against", plain)
    assert "Settings that differ" in told.out
    assert command("curate", "report", other, "--against", tmp_path / "none").code == 2


def test_runs_over_other_input_are_not_compared(plain: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    source = tmp_path / "one.jsonl"
    source.write_text('{"text": "A page of its own."}\n')
    assert command("curate", "run", source, "--out", other, "-q").code == 0
    ended = command("curate", "report", other, "--against", plain)
    assert ended.code == 1
    assert "no document in common" in ended.err
