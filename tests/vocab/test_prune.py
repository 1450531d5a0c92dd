"""Pruning: leaves first, the base never, and what stays is as alive as before."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from click.testing import CliRunner

from yanmo.errors import UsageError
from yanmo.vocab.base import load_base
from yanmo.vocab.cli import group
from yanmo.vocab.load import load_tokenizer
from yanmo.vocab.merge import MergeOptions, merge_tokenizers
from yanmo.vocab.patient import open_patient
from yanmo.vocab.prune import PruneOptions, choose, parents_of, prune_tokenizer
from yanmo.vocab.remap import read_remap, remap_table

WORDS = ["研墨", "研墨先", "墨先", "北京的长城", "长城", "北京", "图书馆", "国家图书馆", "国家"]
WORDS += ["机器学习", "机器", "学习"]


@pytest.fixture(scope="session", params=["spm", "byte"])
def grown(
    request: pytest.FixtureRequest,
    english_spm: Path,
    english_bytes: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path]:
    """A base and what grew from it."""
    root = tmp_path_factory.mktemp("grown")
    (root / "words.txt").write_text("\n".join(WORDS), encoding="utf-8")
    base = english_spm if request.param == "spm" else english_bytes
    merge_tokenizers(base, root / "words.txt", root / "out", MergeOptions())
    return base, root / "out"


def run(
    grown: tuple[Path, Path], out: Path, lines: Sequence[str] = (), **options: int
) -> dict[str, Any]:
    return prune_tokenizer(grown[1], out, PruneOptions(**options), base=grown[0], lines=lines)


def test_down_to_nothing_is_the_base(grown: tuple[Path, Path], tmp_path: Path) -> None:
    report = run(grown, tmp_path / "out", keep=0)
    assert (report["added"], report["size"]) == (0, report["base_size"])
    pruned, base = load_tokenizer(tmp_path / "out"), load_tokenizer(grown[0])
    texts = ["研墨先于落笔 People create", "  北京的长城\n", "x" * 50]
    assert [list(a) for a in pruned.encode_batch(texts)] == [
        list(b) for b in base.encode_batch(texts)
    ]
    assert [pruned.id_to_piece(i) for i in range(pruned.vocab_size)] == [
        base.id_to_piece(i) for i in range(base.vocab_size)
    ]
    if grown[0].name == "tokenizer.model":
        assert (tmp_path / "out" / "tokenizer.model").read_bytes() == grown[0].read_bytes()
    else:
        files = (folder / "tokenizer.json" for folder in (grown[0], tmp_path / "out"))
        one, two = (json.loads(file.read_text("utf-8")) for file in files)
        assert one == two


def test_leaves_go_first_and_the_rest_lives(grown: tuple[Path, Path], tmp_path: Path) -> None:
    patient = open_patient(grown[1], grown[0])
    size = patient.base_size or 0
    whole = list(range(size, patient.size))
    parents = parents_of(patient, whole)
    gone = choose(patient, np.zeros(patient.size, np.int64), set(), PruneOptions(keep=0))
    assert sorted(gone) == whole
    for position, index in enumerate(gone):
        children = [child for child, pair in parents.items() if index in pair]
        assert set(children) <= set(gone[:position])
    report = run(grown, tmp_path / "out", keep=5)
    assert report["added"] == 5
    loaded = load_tokenizer(tmp_path / "out")
    rows = (tmp_path / "out" / "rows.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert [int(row.split("\t")[0]) for row in rows] == list(range(loaded.vocab_size))
    for row in rows:
        new, old = map(int, row.split("\t"))
        assert loaded.id_to_piece(new) == patient.pieces[old]


def test_the_parents_are_what_the_library_makes_without_the_entry(
    grown: tuple[Path, Path], tmp_path: Path
) -> None:
    """Oracle: take one leaf out; its text then comes out as its two parents."""
    if grown[0].name != "tokenizer.model":
        pytest.skip("asked of sentencepiece")
    patient = open_patient(grown[1], grown[0])
    run(grown, tmp_path / "out", keep=patient.size - (patient.base_size or 0) - 1)
    remap = (tmp_path / "out" / "remap.tsv").read_text(encoding="utf-8").splitlines()[1:]
    (gone,) = [row.split("\t") for row in remap if row.split("\t")[1] == ""]
    left, right = parents_of(patient, [int(gone[0])])[int(gone[0])]
    oracle = sentencepiece.SentencePieceProcessor(
        model_file=str(tmp_path / "out" / "tokenizer.model")
    )
    pieces = oracle.encode("x" + gone[2], out_type=str)
    assert pieces[-2:] == [patient.pieces[left], patient.pieces[right]]


def test_the_rarest_goes_first_and_counts_for_its_parents(
    grown: tuple[Path, Path], tmp_path: Path
) -> None:
    lines = ["国家图书馆"] * 50 + ["机器学习"] * 3
    report = run(grown, tmp_path / "one", lines, min_count=10)
    loaded = load_tokenizer(tmp_path / "one")
    assert loaded.encode("国家图书馆").tolist()[-1] >= report["base_size"]
    kept = [loaded.id_to_piece(i) for i in range(report["base_size"], report["size"])]
    assert 0 < len(kept) < 14
    again = run(grown, tmp_path / "two", lines, min_count=10)
    assert again == report
    for file in sorted((tmp_path / "one").iterdir()):
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_a_smaller_size_is_a_part_of_a_larger_one(grown: tuple[Path, Path], tmp_path: Path) -> None:
    kept = []
    for keep in (3, 6):
        report = run(grown, tmp_path / str(keep), keep=keep)
        loaded = load_tokenizer(tmp_path / str(keep))
        kept.append({loaded.id_to_piece(i) for i in range(report["base_size"], report["size"])})
    assert kept[0] < kept[1]


def test_usage(grown: tuple[Path, Path], spm_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing says"):
        run(grown, tmp_path / "x")
    with pytest.raises(UsageError, match="needs --text"):
        run(grown, tmp_path / "x", min_count=2)
    with pytest.raises(UsageError, match="the base alone has"):
        run(grown, tmp_path / "x", size=10)
    with pytest.raises(UsageError, match="where the base ends"):
        prune_tokenizer(spm_file, tmp_path / "x", PruneOptions(keep=0), base=None, lines=[])
    assert not (tmp_path / "x").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    for out in (tmp_path / "mine", grown[1]):
        with pytest.raises(UsageError, match=r"--out"):
            run(grown, out, keep=3)
    assert (tmp_path / "mine" / "thesis.txt").is_file()


def test_a_row_of_the_table_is_a_line_whatever_the_token(
    grown: tuple[Path, Path], tmp_path: Path
) -> None:
    """\\r, U+2028 and U+0085 end a line for some readers."""
    base = load_base(grown[1])
    pieces = ["a", "\r\n", "\t", "\u2028\x85", "\\"]
    table = remap_table(pieces, [0, 2, 4], [1, 0, 3, 0, 5])
    rows = [line.split("\t") for line in table.decode().splitlines()]
    assert [row[:2] for row in rows[1:]] == [["0", "0"], ["1", ""], ["2", "1"], ["3", ""],
                                             ["4", "2"]]  # fmt: skip
    assert {len(row) for row in rows} == {4}
    assert [row[2].encode().decode("unicode_escape") for row in rows[1:]] == pieces
    (tmp_path / "remap.tsv").write_bytes(table)
    assert read_remap(tmp_path / "remap.tsv", base, base) == {0: 0, 2: 1, 4: 2}


def test_command(grown: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["prune", str(grown[1]), "--out", str(out), "--keep", "4", "--json"]
    result = CliRunner().invoke(group, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["added"] == 4
    result = CliRunner().invoke(group, ["doctor", str(out), "--no-libraries", "--json"])
    assert json.loads(result.stdout)["base_size"] == json.loads(result.stdout)["size"] - 4
