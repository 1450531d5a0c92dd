"""Perplexity: the cutting of words against a slow Viterbi, prices against hand-made n-grams."""

import io
import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.command import command
from yanmo.curate.perplexity import Pricer, read_vocabulary
from yanmo.curate.vocabulary_words import Vocabulary, cut_words
from yanmo.errors import DataError

WORDS = {"研究": -2.0, "研究生": -2.5, "生命": -2.2, "命": -3.0, "起源": -2.1, "的": -1.0,
         "hello": -3.0, "，": -1.5}  # fmt: skip
ARPA = """\\data\\
ngram 1=6
ngram 2=3

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.3
-0.8\t</s>
-0.6\t研究\t-0.2
-0.9\t生命\t-0.1
-0.7\thello\t-0.4

\\2-grams:
-0.2\t<s> 研究
-0.3\t研究 生命
-0.5\t生命 </s>

\\end\\
"""


def slow(run: str, words: dict[str, float], unknown: float) -> float:
    """The price of the best path through a run of hanzi, from the definition."""
    best = [0.0] + [-np.inf] * len(run)
    for end in range(1, len(run) + 1):
        best[end] = best[end - 1] + words.get(run[end - 1], unknown)
        for start in range(end - 1):
            if run[start:end] in words:
                best[end] = max(best[end], best[start] + words[run[start:end]])
    return best[-1]


def vocabulary(words: dict[str, float]) -> Vocabulary:
    return Vocabulary.build(list(words), list(words.values()), -6.0)


def cut(text: str, words: dict[str, float]) -> tuple[str, int, int, int]:
    found = cut_words(pa.array([text]), vocabulary(words), spans=3, span_chars=512)
    return (found.lines.to_pylist()[0], int(found.words[0]), int(found.unknown[0]),
            int(found.chars[0]))  # fmt: skip


def test_words_sentences_marks_and_unknowns() -> None:
    text = "研究生命的起源，Hello world！龘研究。\n的"
    assert cut(text, WORDS) == ("研究 生命 的 起源 ， hello\n研究\n的\n", 10, 2, 16)


def test_no_words_no_text() -> None:
    assert cut("", WORDS) == ("", 0, 0, 0)
    assert cut("……！\n", WORDS) == ("", 0, 0, 0)


@settings(max_examples=150, deadline=None)
@given(st.text("天地玄黄", min_size=1, max_size=14),
       st.dictionaries(st.text("天地玄黄", min_size=1, max_size=4),
                       st.floats(-9, -0.1, allow_nan=False), min_size=1))  # fmt: skip
def test_the_path_is_the_best_one(run: str, words: dict[str, float]) -> None:
    line, _, unknown, chars = cut(run, words)
    priced = sum(words[word] for word in line.split()) - 6.0 * unknown
    assert priced == pytest.approx(slow(run, words, -6.0))
    assert chars + unknown == len(run)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(), max_size=3))
def test_any_text_can_be_cut(texts: list[str]) -> None:
    texts = [t.encode("utf-8", "ignore").decode() for t in texts]
    found = cut_words(pa.array(texts, pa.string()), vocabulary(WORDS), spans=2, span_chars=16)
    found.lines.validate(full=True)
    for line, words, unknown in zip(found.lines.to_pylist(), found.words, found.unknown,
                                    strict=True):  # fmt: skip
        assert set(line.split()) <= set(WORDS)
        assert len(line.split()) == words - unknown


def test_vocabularies_of_arpa_files(tmp_path: Path) -> None:
    (tmp_path / "m.arpa").write_text(ARPA, "utf-8")
    words = read_vocabulary(tmp_path / "m.arpa")
    assert words == ["<unk>", "<s>", "</s>", "研究", "生命", "hello"]
    (tmp_path / "bad.arpa").write_text("rubbish", "utf-8")
    with pytest.raises(DataError, match="not a KenLM model"):
        read_vocabulary(tmp_path / "bad.arpa")


def test_prices_by_hand(tmp_path: Path) -> None:
    pytest.importorskip("kenlm", reason="kenlm is not installed")
    (tmp_path / "m.arpa").write_text(ARPA, "utf-8")
    pricer = Pricer(tmp_path / "m.arpa")
    texts = pa.array(["研究生命。", "hello 研究！生命", "龘", "Hello"])
    per_word, per_char, unknown = pricer.price(texts)
    # <s> 研究 -0.2, 研究 生命 -0.3, 生命 </s> -0.5
    first = -0.2 - 0.3 - 0.5
    # backoff of <s> -0.3 + hello -0.7, of hello -0.4 + 研究 -0.6, of 研究 -0.2 + </s> -0.8;
    # <s> -0.3 + 生命 -0.9, 生命 </s> -0.5
    second = -0.3 - 0.7 - 0.4 - 0.6 - 0.2 - 0.8 - 0.3 - 0.9 - 0.5
    fourth = -0.3 - 0.7 - 0.4 - 0.8
    assert per_word[0] == pytest.approx(10 ** (-first / 3), abs=0.006)
    assert per_word[1] == pytest.approx(10 ** (-second / 5), abs=0.006)
    assert np.isnan(per_word[2])
    assert per_word[3] == pytest.approx(10 ** (-fourth / 2), abs=0.006)
    assert per_char[0] == pytest.approx(10 ** (-first / 4), abs=1e-3)
    assert unknown.tolist() == [0, 0, 1, 0]


def test_a_run_with_buckets(tmp_path: Path) -> None:
    pytest.importorskip("kenlm", reason="kenlm is not installed")
    (tmp_path / "m.arpa").write_text(ARPA, "utf-8")
    texts = ["研究生命。" * 12, "生命研究，研究研究。" * 8, "the words of English text " * 12]
    lines = "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts)
    (tmp_path / "docs.jsonl").write_text(lines, "utf-8")
    (tmp_path / "r.toml").write_text(
        f'rules.routed = false\n[[perplexity]]\nmodel = "{tmp_path}/m.arpa"\nhead = 3\n'
        'middle = 4\n[[rules.extra]]\ncolumn = "perplexity_bucket"\nmax = 1\n', "utf-8",
    )  # fmt: skip
    done = command("curate", "run", tmp_path / "docs.jsonl", "--recipe", tmp_path / "r.toml",
                   "--out", tmp_path / "run", "--workers", 1, "--json", "-q")  # fmt: skip
    assert done.code == 0, done.err
    assert done.json()["dropped"] == {"max_perplexity_bucket": 1}
    signals = pl.read_parquet(tmp_path / "run" / "signals" / "*.parquet")
    assert signals["perplexity_bucket"].to_list() == [0, 2, None]
    assert signals["perplexity"][0] == pytest.approx(10 ** (1 / 3), abs=0.006)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.arpa").write_text(ARPA, "utf-8")
    monkeypatch.setitem(__import__("sys").modules, "kenlm", None)
    from yanmo.errors import MissingDependency

    with pytest.raises(MissingDependency, match="kenlm is not installed") as error:
        Pricer(tmp_path / "m.arpa")
    assert "yanmo[perplexity]" in str(error.value)


def test_a_missing_model_is_named_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"text": "研究生命。"}\n', "utf-8")
    for table in (
        f'[[perplexity]]\nmodel = "{tmp_path}/none.lm"\n',
        f'[quality]\nmodel = "{tmp_path}/none"\n',
        f'[[signals]]\npath = "{tmp_path}/none.parquet"\ncolumns = ["score"]\n',
    ):
        (tmp_path / "r.toml").write_text(table, "utf-8")
        done = command("curate", "run", tmp_path / "docs.jsonl", "--recipe", tmp_path / "r.toml",
                       "--out", tmp_path / "run", "--workers", 1, "-q")  # fmt: skip
        assert done.code == 1
        assert "none" in done.err or "kenlm" in done.err
        assert not (tmp_path / "run").exists()


@pytest.mark.realdata
def test_shuffled_text_costs_more(realdata: Path) -> None:
    pytest.importorskip("kenlm", reason="kenlm is not installed")
    data = (realdata / "text" / "zh-bedtimenews.jsonl.zst").read_bytes()
    reader = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(data), "utf-8")
    texts = [json.loads(line)["text"][:1200] for line, _ in zip(reader, range(40), strict=False)]
    rng = random.Random(0)
    shuffled = ["".join(rng.sample(text, len(text))) for text in texts]
    pricer = Pricer(realdata / "ngram" / "libime_zh_CN.lm")
    fluent, broken = (pricer.price(pa.array(t, pa.large_string()))[0] for t in (texts, shuffled))
    assert (broken > fluent).all()
    assert np.median(broken) > 2 * np.median(fluent)
