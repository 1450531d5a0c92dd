"""Every signal against the slow oracle, and the signal table on disk."""

import json
import random
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from yanmo.curate.measure import measure, measure_part, schema
from yanmo.curate.signals import SIGNALS, TEXT_HASH, Measure
from yanmo.documents import SCHEMA, write_part
from yanmo.files import open_input

from .slow_signals import REPETITIVE, TEXTS, all_signals

COUNTS = {signal.name for signal in SIGNALS if signal.kind == "count"}

PROSE_ZH = (
    "清晨的雾还没有散，河边已经有人在钓鱼了。老周把凳子放在柳树下面，慢慢地点上一支烟。\n"
    "“今天的水比昨天浅。”他说，“上游大概又放闸了……”\n\n我没有回答，只是看着水面上的一圈圈波纹。"
)
PROSE_EN = (
    "The first train of the morning was late again, and nobody on the platform seemed surprised.\n"
    '"It\'s the frost," said the man with the dog. "They can\'t run with frost on the rails."\n'
    "I bought a coffee for 2.50 and waited; there was nothing else to do."
)
FIXTURES = [
    "", "的", "a", " ", "\n", " \n\t\n　", "\ufffd", "…", "...", "'", "a'b", "1.5", "1.", "é́",
    PROSE_ZH, PROSE_EN, PROSE_ZH * 3, f"{PROSE_EN}\n\n" * 4, PROSE_ZH + "\n" + PROSE_EN,
    "哈" * 40, "a b " * 30, "更多\n展开\nRead More\n" * 3, "【广告】买一送一【广告】\n【未完",
    "• 一\n- 二\n● 三\n– 四", "1,000,000.50 元，3.14、192.168.0.1", "don't can’t rock'n'roll 'tis",
    "ﾊﾝｶｸ カタカナ ひらがな 한국어 русский العربية हिन्दी ＡＢＣ１２３",
    "𠀀𪚥㐀〇々 𝒜🀄️👩‍👩‍👧‍👦", "a\r\nb\u2028c\x85d\x0be",
    "等等.. 好。。 完...",
]  # fmt: skip


def rows(texts: list[str]) -> list[dict[str, float]]:
    columns = measure(pa.array(texts, pa.large_string()))
    return [{s.name: columns[s.name][i] for s in SIGNALS} for i in range(len(texts))]


def check(texts: list[str]) -> None:
    for text, got in zip(texts, rows(texts), strict=True):
        want = all_signals(text)
        assert set(want) == set(got)
        for name, value in want.items():
            if name in COUNTS:
                assert got[name] == value, (name, text)
            else:
                assert got[name] == pytest.approx(value, rel=0, abs=1e-12), (name, text)


def test_fixtures_equal_the_oracle() -> None:
    check(FIXTURES)


@settings(deadline=None, max_examples=80)
@given(st.lists(TEXTS, max_size=6))
@example(["", "的", "", "x"])
def test_any_text_equals_the_oracle(texts: list[str]) -> None:
    check(texts)


@settings(deadline=None, max_examples=80)
@given(st.lists(REPETITIVE, max_size=4))
def test_repetitive_text_equals_the_oracle(texts: list[str]) -> None:
    check(texts)


def test_a_long_document_equals_the_oracle() -> None:
    rng = random.Random(20)
    blocks = ["".join(chr(0x4E00 + rng.randrange(400)) for _ in range(20)) for _ in range(300)]
    names = [f"{rng.choice(['the', 'Of', 'word'])} {rng.randrange(90)}\n" for _ in range(60)]
    text = "".join(rng.choice(blocks) + rng.choice(names) for _ in range(1500))
    check([text, "短", text[:5000]])


@settings(deadline=None, max_examples=30)
@given(st.lists(TEXTS, min_size=1, max_size=8))
def test_a_document_is_measured_the_same_in_any_company(texts: list[str]) -> None:
    together = measure(pa.array(texts, pa.large_string()))
    for i, text in enumerate(texts):
        alone = measure(pa.array([text], pa.string()))
        assert all(together[name][i] == alone[name][0] for name in alone)


def test_slices_nulls_and_narrow_strings() -> None:
    texts = pa.array([PROSE_EN, None, PROSE_ZH, "", "天地"], pa.string())
    whole = measure(texts)
    for start in range(5):
        part = measure(texts.slice(start, 2))
        assert all((part[name] == whole[name][start : start + 2]).all() for name in whole)
    assert whole["n_chars"].tolist() == [len(PROSE_EN), 0, len(PROSE_ZH), 0, 2]
    assert measure(texts.slice(5))["n_chars"].tolist() == []
    assert measure(pa.nulls(2, pa.large_string()))["n_bytes"].tolist() == [0, 0]


def test_chunks_change_nothing() -> None:
    big = PROSE_ZH * 20_000  # over 4 MB: a chunk by itself
    texts = [PROSE_EN, big, PROSE_ZH, *["短文，一句。"] * 1000, PROSE_EN]
    together = measure(pa.array(texts, pa.large_string()))
    for i in (0, 1, 2, 500, len(texts) - 1):
        alone = measure(pa.array([texts[i]], pa.large_string()))
        assert all(together[name][i] == alone[name][0] for name in alone)


def test_settings_are_used() -> None:
    text = pa.array(["一二三四五\n" + "很长的一行" * 3 + "\n甲乙\n甲乙"])
    short = measure(text, Measure(short_line_chars=5))["short_line_fraction"]
    assert short.tolist() == [0.75]
    words = pa.array(["a b c d e f " * 5 + "天地玄黄" * 9])
    first = measure(words, Measure(max_ngram_words=30))
    assert first["top_2_gram_char_fraction"][0] == measure(pa.array(["a b c d e f " * 5]))[
        "top_2_gram_char_fraction"
    ][0]  # fmt: skip


def test_no_chinese_fraction_exceeds_one() -> None:
    """Numerators that join tokens by spaces which Chinese does not have pass 1 and 0.5 here."""
    got = rows(["哈哈" * 100, "天地" + "".join(chr(0x4E00 + i) for i in range(100)) + "天地"])
    assert got[0]["top_2_gram_char_fraction"] == 1
    assert got[1]["top_2_gram_char_fraction"] == 4 / 104
    assert all(got[0][name] <= 1 for name in got[0] if name.endswith("char_fraction"))


def test_hashes_are_those_of_the_text() -> None:
    texts = ["", "天地玄黄", PROSE_EN]
    high, low = (measure(pa.array(texts))[name].tolist() for name in TEXT_HASH)
    for text, left, right in zip(texts, high, low, strict=True):
        assert left << 64 | right == xxhash.xxh3_128_intdigest(text.encode())


def document_table(texts: list[str]) -> pa.Table:
    n = len(texts)
    return pa.table(
        {
            "id": [f"{i:024x}" for i in range(n)], "text": texts, "url": [None] * n,
            "source": ["s"] * n, "licence": [None] * n, "origin": [f"f#{i}" for i in range(n)],
            "timestamp": [None] * n, "lang": ["zh", None, "en"][:n] + ["zh"] * (n - 3),
            "lang_score": [0.9] * n, "script": ["Hans"] * n, "encoding": ["utf-8"] * n,
            "n_chars": [len(t) for t in texts], "n_bytes": [len(t.encode()) for t in texts],
            "meta": ["{}"] * n,
        },
        schema=SCHEMA,
    )  # fmt: skip


def test_the_task_writes_one_row_a_document(tmp_path: Path) -> None:
    texts = [PROSE_ZH, "", PROSE_EN, *["第二部分，短文。"] * 9000]
    write_part(tmp_path / "in.parquet", document_table(texts))
    (tmp_path / "out").mkdir()
    result = measure_part([tmp_path / "in.parquet"], {}, tmp_path / "out")
    json.dumps(result)
    assert result["rows"] == len(texts)
    assert result["chars"] == sum(map(len, texts))
    table = pq.read_table(tmp_path / "out" / "signals.parquet")
    assert table.schema.equals(schema())
    assert table["id"].to_pylist() == [f"{i:024x}" for i in range(len(texts))]
    assert table["lang"].to_pylist()[:4] == ["zh", None, "en", "zh"]
    columns = measure(pa.array(texts, pa.large_string()))
    for name, values in columns.items():
        assert np.array_equal(table[name].to_numpy(), values), name


def test_an_empty_part(tmp_path: Path) -> None:
    write_part(tmp_path / "in.parquet", SCHEMA.empty_table())
    (tmp_path / "out").mkdir()
    assert measure_part([tmp_path / "in.parquet"], {}, tmp_path / "out")["rows"] == 0
    assert pq.read_table(tmp_path / "out" / "signals.parquet").schema.equals(schema())


def test_every_signal_says_what_and_after_whom() -> None:
    names = [signal.name for signal in SIGNALS]
    assert len(set(names)) == len(names)
    assert all(signal.meaning and signal.source for signal in SIGNALS)
    assert list(measure(pa.array(["a"]))) == [*names, *TEXT_HASH]


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["zh-lctt", "zh-humor-dialog", "en-bbc", "en-react-dev"])
def test_real_texts_equal_the_oracle(realdata: Path, name: str) -> None:
    with open_input(realdata / "text" / f"{name}.jsonl.zst") as stream:
        check([json.loads(line)["text"][:20_000] for line in islice(stream, 8)])


def test_without_signals_sizes_and_hashes_are_the_same() -> None:
    texts = pa.array(FIXTURES, pa.large_string())
    full, few = measure(texts), measure(texts, Measure(always=False))
    assert list(few) == ["n_chars", "n_bytes", *TEXT_HASH]
    assert schema(Measure(always=False)).names == ["id", "lang", "lang_score", "script", *few]
    for name, values in few.items():
        assert values.dtype == full[name].dtype
        assert (values == full[name]).all()
