"""The forecast of a run, held against the run."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import command
from tests.curate.test_pipeline import article


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two sources: one good, one of which a third is short; and a file of no known format."""
    folder = tmp_path_factory.mktemp("forecast")
    for name, count, short in (("good", 120, 10**6), ("poor", 90, 3)):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as stream:
            for number in range(count):
                text = "太短。" if number % short == 0 and number else article(number + count * 7)
                stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return sorted(folder.iterdir())


def plan(*arguments: object) -> Any:
    ended = command("curate", "plan", *arguments, "--workers", 2, "--json", "-q")
    assert ended.code == 0, ended.err
    return ended.json()


def test_a_sample_of_everything_is_the_run(corpus: list[Path], tmp_path: Path) -> None:
    said = plan(*corpus, "--pages", 1000, "--set", "duplicates.near=false")
    ended = command("curate", "run", *corpus, "--out", tmp_path / "run", "--json", "-q",
                    "--set", "duplicates.near=false")  # fmt: skip
    real = ended.json()
    assert said["pages"] == real["read"] == 210
    assert said["kept"] == real["kept"]
    rules = {rule["rule"]: rule["documents"] for rule in said["rules"]}
    assert rules == {rule: n for rule, n in real["dropped"].items() if n}
    assert sum(source["chars"] for source in said["sources"]) == real["characters"]["kept"]
    assert said["disk_bytes"] > 0
    assert said["memory_bytes"] > 50e6
    assert set(said["steps"]) == set(real["steps"])


def test_a_sample_is_scaled(corpus: list[Path]) -> None:
    said = plan(*corpus, "--pages", 45)
    by_name = {source["source"]: source for source in said["sources"]}
    assert {name: source["pages"] for name, source in by_name.items()} == {
        "good": 120, "poor": 90,
    }  # fmt: skip
    assert by_name["good"]["sample"] == by_name["poor"]["sample"] == 45
    short = next(rule for rule in said["rules"] if rule["rule"] == "min_words")
    assert short["low"] < 29 / 210 < short["high"]
    assert short["documents"] == pytest.approx(29, abs=2)
    assert said["kept"] == pytest.approx(210 - short["documents"], abs=3)


def test_what_is_told_and_what_is_refused(corpus: list[Path]) -> None:
    ended = command("curate", "plan", *corpus, "--pages", 45, "-q")
    assert ended.code == 0, ended.err
    for word in ("Sources", "Dropped", "min_words", "Processor seconds", "With ", "disk"):
        assert word in ended.out
    assert command("curate", "plan", "-", stdin=b"{}").code == 2
    assert command("curate", "plan").code == 2
    assert command("curate", "plan", corpus[0].parent / "none.jsonl").code in (1, 2)
