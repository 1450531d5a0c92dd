"""Counting, segmenting and continued BPE against slow and obvious programs."""

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.vocab.base import Base, load_base
from yanmo.vocab.charsets import HAN_RUN
from yanmo.vocab.evidence import gather
from yanmo.vocab.learn import Limits, learn
from yanmo.vocab.load import load_tokenizer
from yanmo.vocab.runs import RunCounter, Runs
from yanmo.vocab.segment import BREAK, Symbols, segment

quick = settings(max_examples=60, deadline=None, derandomize=True)
han_text = st.text(st.sampled_from("研墨先于落笔〇々𠀀㐀龘，。a 1\nあ\uf900"), max_size=30)


def count(documents: list[str], *, budget: int = 1 << 20, batch: int = 3) -> Runs:
    counter = RunCounter(budget)
    for start in range(0, len(documents), batch):
        counter.add(pa.array(documents[start : start + batch], pa.large_string()))
    return counter.finish()


@quick
@given(documents=st.lists(han_text, max_size=12))
def test_runs_equal_a_regular_expression(documents: list[str]) -> None:
    runs = count(documents)
    expected = Counter(run for text in documents for run in HAN_RUN.findall(text))
    assert {runs.text(k): int(n) for k, n in enumerate(runs.counts)} == expected
    places = Counter(zip(runs.run.tolist(), runs.document.tolist(), strict=True))
    for (run, document), times in places.items():
        assert HAN_RUN.findall(documents[document]).count(runs.text(run)) == times
    assert runs.kept_share == 1


def test_every_han_range_is_known_to_the_kernel() -> None:
    edges = [0x3004, 0x3005, 0x3006, 0x3007, 0x3008, 0x33FF, 0x3400, 0x4DBF, 0x4DC0, 0x4DFF]
    edges += [0x4E00, 0x9FFF, 0xA000, 0xF900, 0x1FFFF, 0x20000, 0x2A6DF, 0x2A6E0, 0x2A700]
    edges += [0x2EBE0, 0x2EBE1, 0x2EBF0, 0x2EE5D, 0x2EE5E, 0x2FFFF, 0x30000, 0x323AF, 0x323B0]
    text = "\u3042".join(map(chr, edges))
    runs = count([text])
    assert {runs.text(k) for k in range(len(runs.counts))} == set(HAN_RUN.findall(text))


def test_many_runs_grow_the_table() -> None:
    generator = random.Random(1)
    words = ["".join(generator.choices("研墨先于落笔天地玄黄宇宙洪荒", k=6)) for _ in range(20_000)]
    runs = count(["，".join(words[k : k + 100]) for k in range(0, 20_000, 100)])
    assert {runs.text(k): int(n) for k, n in enumerate(runs.counts)} == Counter(words)


def test_thinning_bounds_memory_and_keeps_counts_exact() -> None:
    generator = random.Random(2)
    words = ["".join(generator.choices("研墨先于落笔天地玄黄", k=5)) for _ in range(6000)]
    documents = ["，".join(words[k : k + 50]) for k in range(0, 6000, 50)]
    whole, part = count(documents), count(documents, budget=20_000)
    assert part.kept_share in (0.5, 0.25, 0.125)
    assert len(part.store) <= 20_000
    everything = {whole.text(k): int(n) for k, n in enumerate(whole.counts)}
    for k, times in enumerate(part.counts):
        assert everything[part.text(k)] == times
    assert len(part.run) == part.counts.sum()
    share = len(part.counts) / len(whole.counts)
    assert share == pytest.approx(part.kept_share, rel=0.25)
    again = count(documents, budget=20_000)
    assert np.array_equal(again.store, part.store)
    other = count(documents, budget=20_000, batch=7)
    assert {other.text(k) for k in range(len(other.counts))} == {
        part.text(k) for k in range(len(part.counts))
    }


@quick
@given(documents=st.lists(han_text, min_size=1, max_size=6), byte_level=st.booleans())
def test_symbols_are_the_tokens_of_the_base(
    documents: list[str], byte_level: bool, english_spm: Path, byte_folder: Path, spm_file: Path
) -> None:
    for path in (byte_folder,) if byte_level else (english_spm, spm_file):
        base = load_base(path)
        runs = count(documents)
        symbols = segment(base, runs)
        encode = load_tokenizer(path)
        for number in range(len(runs.counts)):
            mine = symbols.symbols[symbols.ends[number] : symbols.ends[number + 1]]
            ids = encode.encode("a" + runs.text(number)).tolist()[-sum_of(symbols, mine) :]
            if BREAK in mine:
                assert byte_level
                continue
            flat = [
                symbol
                for symbol in mine.tolist()
                for symbol in ([symbol] * pieces_of(symbols, symbol))
            ]
            for symbol, got in zip(flat, ids, strict=True):
                assert symbol == got or symbol >= symbols.first_virtual


def pieces_of(symbols: Symbols, symbol: int) -> int:
    virtual = symbol - symbols.first_virtual
    return 1 if virtual < 0 else int(symbols.pieces_per_character[virtual])


def sum_of(symbols: Symbols, mine: np.ndarray) -> int:
    return sum(pieces_of(symbols, symbol) for symbol in mine.tolist())


def slow_bpe(
    runs: dict[tuple[int, ...], int], first_new: int, limits: Limits, texts: list[str]
) -> list[tuple[int, int, int]]:
    """Continued BPE from its definition: count all pairs, take the best, replace, repeat."""
    texts = list(texts)
    work = [(list(run), times) for run, times in runs.items()]
    merges: list[tuple[int, int, int]] = []
    while len(merges) < limits.merges:
        pairs: Counter[tuple[int, int]] = Counter()
        for run, times in work:
            for a, b in pairwise(run):
                if a >= 0 and b >= 0:
                    pairs[a, b] += times
        allowed = {
            (a, b): n
            for (a, b), n in pairs.items()
            if n >= limits.min_count
            and len(texts[a] + texts[b]) <= limits.max_chars
            and not (a == b and len(texts[a]) > 1)
            and not (len(set(texts[a] + texts[b])) == 1 and len(texts[a] + texts[b]) > 2)
        }
        if not allowed:
            break
        left, right = min(allowed, key=lambda pair: (-allowed[pair], pair))
        new, made = first_new + len(merges), 0
        for run, times in work:
            at = 0
            while at < len(run) - 1:
                if (run[at], run[at + 1]) == (left, right):
                    run[at : at + 2] = [new]
                    made += times
                at += 1
        texts.append(texts[left] + texts[right])
        merges.append((left, right, made))
    return merges


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    words=st.lists(st.text(st.sampled_from("研墨先于落啊"), min_size=1, max_size=9), max_size=30),
    repeat=st.lists(st.integers(1, 9), min_size=30, max_size=30),
    limits=st.builds(
        Limits, merges=st.integers(1, 25), min_count=st.integers(1, 4), max_chars=st.integers(2, 6)
    ),
)
def test_merges_equal_the_slow_program(
    words: list[str], repeat: list[int], limits: Limits, english_spm: Path
) -> None:
    base = load_base(english_spm)
    documents = ["，".join([word] * times) for word, times in zip(words, repeat, strict=False)]
    runs = count(documents)
    symbols = segment(base, runs)
    learned = learn(symbols, runs.counts, base.surfaces(), limits)
    keyed: dict[tuple[int, ...], int] = {
        tuple(symbols.symbols[symbols.ends[k] : symbols.ends[k + 1]].tolist()): int(n)
        for k, n in enumerate(runs.counts)
    }
    texts = [s.decode(errors="replace") for s in base.surfaces()] + symbols.virtual
    expected = slow_bpe(keyed, learned.first_new, limits, texts)
    found = zip(learned.left.tolist(), learned.right.tolist(), learned.count.tolist(), strict=True)
    assert list(found) == expected


def _sample(seed: int, documents: int) -> list[str]:
    generator = random.Random(seed)
    words = ["研墨", "先于", "落笔", "数据", "模型", "质量", "的", "是", "北京", "长城", "我们"]
    return [
        "".join(generator.choices([*words, "，", "。"], k=generator.randrange(5, 60)))
        for _ in range(documents)
    ]


def test_a_shorter_run_is_a_prefix(english_spm: Path) -> None:
    base = load_base(english_spm)
    runs = count(_sample(3, 300))
    symbols = segment(base, runs)
    long = learn(symbols, runs.counts, base.surfaces(), Limits(400))
    short = learn(symbols, runs.counts, base.surfaces(), Limits(90))
    assert len(long.left) > 300
    assert np.array_equal(short.left, long.left[:90])
    assert np.array_equal(short.right, long.right[:90])
    assert np.array_equal(short.count, long.count[:90])


def test_large_input_grows_all_tables(english_spm: Path) -> None:
    """More pairs and places than the first arrays hold; the books are checked by their sum."""
    generator = random.Random(4)
    alphabet = [chr(0x4E00 + k) for k in range(1500)]
    documents = ["".join(generator.choices(alphabet, k=400)) for _ in range(400)]
    base = load_base(english_spm)
    runs = count(documents)
    symbols = segment(base, runs)
    learned = learn(symbols, runs.counts, base.surfaces(), Limits(3000))
    before = len(symbols.symbols)
    after = int((learned.symbols >= 0).sum())
    assert before - after == learned.count.sum()  # each run occurs once
    assert np.all(np.diff(learned.count) <= 0)


def test_tokenizers_finds_merges_of_the_same_worth(english_spm: Path) -> None:
    """An independent trainer on the same alphabet: as many tokens, ties aside."""
    import tokenizers
    from tokenizers import models, pre_tokenizers, trainers

    documents = _sample(5, 400)
    alphabet = sorted({c for text in documents for c in text})
    fast = tokenizers.Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[，。]"), "removed")
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) - 2 + 60, max_token_length=6, show_progress=False
    )
    fast.train_from_iterator(documents, trainer)
    theirs = sum(len(encoding.ids) for encoding in fast.encode_batch(documents))
    base = load_base(english_spm)
    runs = count(documents)
    symbols = segment(base, runs)
    learned = learn(symbols, runs.counts, base.surfaces(), Limits(60))
    weights = np.repeat(runs.counts, np.diff(symbols.ends))
    mine = int(weights[learned.symbols >= 0].sum())
    assert fast.get_vocab_size() == len(alphabet) - 2 + 60
    assert mine == pytest.approx(theirs, rel=0.01)


def _walk(base: Base, documents: list[str], hosts: list[int], merges: int) -> None:
    """Documents, sites and shares of each candidate, recounted from the final trees."""
    runs = count(documents)
    symbols = segment(base, runs)
    learned = learn(symbols, runs.counts, base.surfaces(), Limits(merges))
    found = gather(runs, symbols, learned, np.array(hosts, np.int32))
    first = symbols.first_virtual

    def below(symbol: int) -> set[int]:
        if symbol < learned.first_new:
            return {symbol} if symbol >= first else set()
        merge = symbol - learned.first_new
        parts = below(int(learned.left[merge])) | below(int(learned.right[merge]))
        return {symbol} | parts

    seen: dict[int, Counter[int]] = {}
    inside: dict[int, set[int]] = {}
    for run, document in zip(runs.run.tolist(), runs.document.tolist(), strict=True):
        final = learned.symbols[symbols.ends[run] : symbols.ends[run + 1]]
        for symbol in set().union(*(below(s) for s in final.tolist() if s >= 0)):
            seen.setdefault(symbol - first, Counter())[document] += 1
            inside.setdefault(symbol - first, set()).add(run)
    for token in range(len(found.documents)):
        where = seen.get(token, Counter())
        assert found.runs[token] == len(inside.get(token, set()))
        sites: Counter[int] = Counter()
        for document, times in where.items():
            if hosts[document] >= 0:
                sites[hosts[document]] += times
        assert found.documents[token] == len(where)
        assert found.domains[token] == len(sites)
        share = max(sites.values(), default=0) / max(sum(where.values()), 1)
        assert found.top_share[token] == pytest.approx(share)


def test_evidence_is_recounted(english_spm: Path) -> None:
    generator = random.Random(6)
    documents = _sample(7, 120)
    hosts = [generator.randrange(-1, 9) for _ in documents]
    _walk(load_base(english_spm), documents, hosts, 80)
