"""Documents in slices: samples, labels, and inputs that are wrong."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.errors import DataError, UsageError
from yanmo.vocab.compare import compare, load_contenders
from yanmo.vocab.labels import distinct_labels
from yanmo.vocab.slices import Sampling, Slices, script_label


def test_slices_by_script() -> None:
    assert script_label("数据清洗，很重要") == "han"
    assert script_label("the data 数据") == "mixed"
    assert script_label("plain English") == "no han"
    assert script_label("  \n") == "no han"


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 500))
def test_a_smaller_sample_is_part_of_a_larger_one(sizes: list[int], limit: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        texts = [f"{k:03d}" + "x" * size for k, size in enumerate(sizes)]
        path.write_text("\n".join(json.dumps({"text": t}) for t in texts), encoding="utf-8")

        def taken(bytes_: int, seed: int = 3) -> list[str]:
            slices = Slices([path], Sampling(limit_bytes=bytes_, seed=seed))
            return [d.text for _, part in slices.batches() for d in part]

        small, large = taken(limit), taken(2 * limit)
        assert set(small) <= set(large)
        assert small == sorted(small)  # reading order
        total = sum(map(len, texts))
        assert sum(map(len, small)) >= min(limit, total)
        assert sum(map(len, small)) - max(map(len, small)) < limit
        assert taken(limit) == small
        path.write_text("\n".join(json.dumps({"text": t}) for t in reversed(texts)))
        assert sorted(taken(limit)) == small


def test_documents_limit_and_seed(text_file: Path) -> None:
    def taken(seed: int) -> list[str]:
        slices = Slices([text_file], Sampling(documents=2, seed=seed))
        return [d.text for _, part in slices.batches() for d in part]

    found = {seed: taken(seed) for seed in range(8)}
    assert all(len(texts) == 2 for texts in found.values())
    assert len({tuple(texts) for texts in found.values()}) > 1
    assert taken(5) == found[5]


def test_equal_names_get_labels_of_their_own(spm_file: Path, tmp_path: Path) -> None:
    import shutil

    for side in ("old", "new"):
        (tmp_path / side / "zh").mkdir(parents=True)
        shutil.copy(spm_file, tmp_path / side / "zh" / "tokenizer.model")
    paths = [str(tmp_path / side / "zh") for side in ("old", "new")]
    assert [c.label for c in load_contenders(paths)] == ["old/zh", "new/zh"]
    same = [paths[0], paths[1], paths[0]]
    assert [c.label for c in load_contenders(same)] == ["old/zh", "new/zh", "old/zh (2)"]
    assert [c.label for c in load_contenders(same[::2])] == ["zh", "zh (2)"]
    with pytest.raises(UsageError, match="a label stands twice, got 'x'"):
        load_contenders([f"x={paths[0]}", f"x={paths[1]}"])
    assert distinct_labels(["a", "b"], [Path("/x/a"), Path("/y/b")]) == ["a", "b"]


def test_wrong_inputs_say_what_to_do(spm_file: Path, text_file: Path, tmp_path: Path) -> None:
    spec = [str(spm_file)]
    with pytest.raises(UsageError, match=r"nowhere.jsonl: no such file or folder.*--text takes"):
        compare(spec, [tmp_path / "nowhere.jsonl"], Sampling())
    with pytest.raises(UsageError, match=r"no such tokenizer"):
        compare([str(tmp_path / "no")], [text_file], Sampling())
    with pytest.raises(UsageError, match=r"no document has a field 'sorce'. Did you mean 'source'"):
        compare(spec, [text_file], Sampling(by="sorce"))
    (tmp_path / "empty.jsonl").write_text('{"text": ""}\n{"text": ""}\n')
    with pytest.raises(DataError, match=r"no text in the inputs, got '2 empty documents'"):
        compare(spec, [tmp_path / "empty.jsonl"], Sampling())
    (tmp_path / "bad.jsonl").write_text('{"text": "好"}\n{"body": "x"}\n', encoding="utf-8")
    for by in ("file", "source"):
        with pytest.raises(DataError, match=r"bad.jsonl:2: no text in field 'text'"):
            compare(spec, [tmp_path / "bad.jsonl"], Sampling(by=by))
    rows = "\n".join(json.dumps({"text": "x", "k": k}) for k in range(70))
    (tmp_path / "many.jsonl").write_text(rows)
    with pytest.raises(UsageError, match="more than 64 slices"):
        compare(spec, [tmp_path / "many.jsonl"], Sampling(by="k"))


def test_a_cut_file_is_an_error(spm_file: Path, text_file: Path, tmp_path: Path) -> None:
    import gzip

    data = gzip.compress(text_file.read_bytes() * 50)
    (tmp_path / "cut.jsonl.gz").write_bytes(data[: len(data) - 20])
    for by in ("file", "source"):
        with pytest.raises(DataError, match=r"cut\.jsonl\.gz: cannot read on"):
            compare([str(spm_file)], [tmp_path / "cut.jsonl.gz"], Sampling(by=by))
