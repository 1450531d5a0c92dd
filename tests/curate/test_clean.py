"""The fused task: what normalising, identifying and cutting one after the other would give."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate import language, utf8
from yanmo.curate.clean import clean_part
from yanmo.curate.language import Identifier
from yanmo.curate.lines import LineOptions, cut_lines
from yanmo.curate.normalize import normalize
from yanmo.documents import SCHEMA, write_part
from yanmo.recipe import to_table

BITS = (
    "责任编辑：张三\n", "上一篇：无\n", "12 likes\n", "她在河边走了很久，没有遇到一个人。\n",
    "The rain of the day was fine, and nobody came to the harbour. ", "café Ã©", "\n\n\n",
    "網頁", "\r\n", "　　",
)  # fmt: skip


def part(path: Path, texts: list[str]) -> Path:
    rows = [
        {"id": f"d{i}", "text": text, "source": "s", "origin": f"f#{i}", "n_chars": 0, "n_bytes": 0}
        for i, text in enumerate(texts)
    ]
    write_part(path, pa.Table.from_pylist(rows, SCHEMA))
    return path


def run(
    folder: Path, name: str, texts: list[str], **parameters: Any
) -> tuple[Path, dict[str, Any]]:
    out = folder / name
    out.mkdir()
    return out, clean_part([part(folder / f"{name}.parquet", texts)], parameters, out)


EDIT = {"lines": to_table(LineOptions()), "convert": "off", "keep_dropped": "text",
        "sample_fraction": 0.01}  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from(BITS), max_size=8).map("".join), max_size=6))
def test_one_pass_is_three_passes(
    texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("clean")
    out, result = run(folder, "edited", texts, edit=EDIT)
    normal, _ = normalize(pa.array(texts, pa.large_string()))
    after, _ = cut_lines(normal, LineOptions())
    rows = pq.read_table(out / "documents.parquet").to_pylist()
    gone = {row["id"]: row["text"] for row in pq.read_table(out / "dropped.parquet").to_pylist()}
    kept = {f"d{i}": text for i, text in enumerate(after.text.to_pylist()) if f"d{i}" not in gone}
    assert {row["id"]: row["text"] for row in rows} == kept
    assert gone == {f"d{i}": normal[i].as_py() for i in range(len(texts)) if f"d{i}" in gone}
    found = Identifier().identify(pa.array(list(kept.values()), pa.large_string()))
    for name in ("lang", "lang_score", "script"):
        column = {"lang_score": "score"}.get(name, name)
        assert [row[name] for row in rows] == getattr(found, column).to_pylist()
    assert [row["n_chars"] for row in rows] == [len(text) for text in kept.values()]
    assert result["chars_in"] == sum(map(len, texts))
    assert result["chars_out"] == sum(map(len, kept.values()))


def test_without_line_rules_there_is_no_diff(tmp_path: Path) -> None:
    out, result = run(tmp_path, "plain", ["责任编辑：张三", "3 likes"])
    assert [path.name for path in out.iterdir()] == ["documents.parquet"]
    assert "dropped" not in result
    assert result["rows"] == 2


def test_chunks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["".join(BITS[: i % len(BITS) + 1]) * 3 for i in range(40)]
    one, first = run(tmp_path, "one", texts, edit=EDIT)
    defaults = dict(utf8.chunks.__kwdefaults__) | {"chunk_bytes": 50}
    monkeypatch.setattr(utf8.chunks, "__kwdefaults__", defaults)
    two, second = run(tmp_path, "two", texts, edit=EDIT)
    assert first == second
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_a_model_is_loaded_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fasttext

    loaded: list[str] = []
    monkeypatch.setattr(fasttext, "load_model", lambda path: loaded.append(path) or object())
    language._load.cache_clear()
    model = tmp_path / "lid.176.ftz"
    model.write_bytes(b"one")
    Identifier(model=model)
    Identifier(model=model)
    assert len(loaded) == 1
    model.write_bytes(b"another")
    Identifier(model=model)
    assert len(loaded) == 2
    language._load.cache_clear()
