"""Defects of other pipelines on Chinese text, each a test of ours: rows 1 to 11 of the list.

Each test shows on its own input what the formula in question does, and what we do instead. Rows 12
to 20 are in ``test_peer_defects_runs``.
"""

import itertools
import json
import re
import resource
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from yanmo.curate.sketch import signatures

from .peer_corpus import PROSE, TRADITIONAL, Ran, essay, hanzi, run, run_texts, write_json_lines

KEEP_ALL = "decide=false"


@pytest.mark.slow
def test_01_bloom_filter_that_reaches_two_bits(tmp_path: Path) -> None:
    """datatrove's bloom filter takes ``hash & m_bytes`` for ``hash % (8 * m_bytes)``.

    With 2^20 bytes two of 8.4 million bits are ever used and nearly every document is a duplicate.
    Ours must call none of 20 000 different Chinese documents one, in 16 bytes of hash a document.
    """
    texts = [hanzi(number, 40) for number in range(20_000)]
    seen: set[int] = set()
    called = 0
    for text in texts:
        bits = {xxhash.xxh3_64_intdigest(text.encode(), seed) & 2**20 for seed in range(7)}
        called += bits <= seen
        seen |= bits
    assert (len(seen), called > 19_000) == (2, True)

    ran = run_texts(tmp_path, [*texts, texts[7]], KEEP_ALL)
    assert ran.funnel["kept"] == 20_000
    assert ran.funnel["dropped"] == {"exact_duplicate": 1}
    hashes = [np.load(path) for path in ran.folder.glob(".cache/exact/*/hashes.npy")]
    assert sum(array.nbytes for array in hashes) == 16 * 20_001


def test_02_ngrams_joined_with_spaces(tmp_path: Path) -> None:
    """datatrove joins n-grams with spaces and divides by a text that has none.

    On Chinese the fraction of the top 2-gram comes out half as large again. A text just below the
    limit by what it holds must stay.
    """
    own = hanzi(3, 200)
    body = "".join(own[k : k + 7] + "研墨" for k in range(0, 196, 7))  # 56 of 252 hanzi
    text = f"的年在月是和日了，都有。\n{body[:126]}。\n{body[126:]}。"
    words = re.findall(r"[\u4e00-\u9fff]", text)
    top, times = Counter(itertools.pairwise(words)).most_common(1)[0]
    assert top == ("研", "墨")
    true = times * 2 / len(words)
    peer = times * len(" ".join(top)) / len(text)
    limit = (true + peer) / 2
    assert peer > 1.3 * true

    ran = run_texts(tmp_path, [text], f"rules.zh.max_top_2_gram_char_fraction={limit}")
    assert ran.kept == [text]
    assert ran.table("signals")["top_2_gram_char_fraction"].to_list() == [pytest.approx(true)]
    moved = run_texts(tmp_path, [text], f"rules.zh.max_top_2_gram_char_fraction={true - 0.01}")
    assert moved.dropped == {text: "max_top_2_gram_char_fraction"}


def test_03_only_ascii_ends_a_sentence(tmp_path: Path) -> None:
    """The C4 filters of datatrove and Curator know ``. ? ! " '`` and count words by spaces.

    They delete every Chinese line. Ours must see that each of these lines ends a sentence, keep
    them under the strictest limit, and count more than three words in each.
    """
    lines = [f"{hanzi(k, 30)}的年在月是{mark}" for k, mark in enumerate("。！？…”；")]
    text = "\n".join(lines)
    assert not any(line.endswith((".", "?", "!", '"', "'")) for line in lines)
    assert all(len(line.split()) < 3 for line in lines)

    ran = run_texts(tmp_path, [text], "rules.zh.min_terminal_punctuation_line_fraction=1.0")
    assert ran.kept == [text]
    signals = ran.table("signals").row(0, named=True)
    assert signals["terminal_punctuation_line_fraction"] == 1.0
    assert signals["n_words"] == 6 * 35
    without = text.replace("？", "、")
    ran = run_texts(tmp_path, [without], "rules.zh.min_terminal_punctuation_line_fraction=1.0")
    assert ran.dropped == {without: "min_terminal_punctuation_line_fraction"}


def test_04_punctuation_mapped_to_ascii(tmp_path: Path) -> None:
    """data-juicer and cc_net map ``１`` to a quotation mark and Chinese marks to ASCII.

    Ours must make ``１`` a 1, touch no Chinese mark, and book the characters it changed.
    """
    text = f"第１２章《红楼梦》、“甲戌”本——价１０１元……（见《脂砚斋》；【注】：是！）\n{PROSE}"
    peer = text.translate(str.maketrans({"１": '"', "《": '"', "》": '"', "、": ",", "；": ";"}))
    assert '第"２章"红楼梦",' in peer

    ran = run_texts(tmp_path, [text], KEEP_ALL)
    assert ran.kept == [text.replace("１", "1").replace("２", "2").replace("０", "0")]
    edits = ran.funnel["characters"]["edits"]
    assert edits["width"] == {"removed": 5, "added": 5}
    assert [rule for rule, change in edits.items() if change["removed"]] == ["width"]


def test_05_one_poison_record_empties_its_batch(tmp_path: Path) -> None:
    """data-juicer answers an exception with an empty batch: 1 000 records for one.

    Ours must lose exactly the poison record, keep it in quarantine, and count it.
    """
    texts = [essay(number) for number in range(999)]
    write_json_lines(tmp_path / "in.jsonl", texts)
    lines = (tmp_path / "in.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    poison = '{"text": ["不是文本"]}\n'
    (tmp_path / "in.jsonl").write_text("".join([*lines[:500], poison, *lines[500:]]), "utf-8")

    def batch(records: list[str]) -> list[str]:
        try:
            return [json.loads(record)["text"].strip() for record in records]
        except AttributeError:
            return []

    assert batch([*lines[:500], poison, *lines[500:]]) == []

    ran = run(tmp_path / "in.jsonl", tmp_path / "run")
    assert sorted(ran.kept) == sorted(texts)
    assert (ran.funnel["read"], ran.funnel["quarantined"]) == (1000, 1)
    assert len(list((ran.folder / "quarantine").iterdir())) == 1


RARE = (
    "他姓𠮷，名㐂，住在㙍塘。\n"
    "“问：‘几点?’”；「八点」、『九点』……【通知】a:b; c?\n\n"
    f"〇二年，々字；{PROSE}"
)


def test_06_characters_that_are_no_chinese(tmp_path: Path) -> None:
    """data-juicer keeps U+4E00–9FA5 and a few marks, and deletes all else.

    Line ends, ``；…‘’「」【】?:;`` and hanzi of the extensions go. Ours must change nothing.
    """
    peer = re.sub(r"[^\u4e00-\u9fa5，。！？、（）“”《》0-9a-zA-Z]", "", RARE)
    assert not set("𠮷㐂㙍\n；…‘’「」【】?:;") & set(peer)

    ran = run_texts(tmp_path, [RARE], KEEP_ALL)
    assert ran.kept == [RARE]
    changed = ran.funnel["characters"]["edits"].values()
    assert sum(change["removed"] + change["added"] for change in changed) == 0


def test_07_shorter_than_a_shingle(tmp_path: Path) -> None:
    """data-juicer takes the minimum of no shingles, fails, and drops the document.

    Its matrix of tokens by permutations grows with the document. Ours must keep short posts apart,
    find the one that is there twice, and sketch three million characters in bounded memory.
    """
    with pytest.raises(ValueError, match="zero-size array"):
        np.array([hash("好。"[k : k + 5]) for k in range(len("好。") - 4)]).min()
    short = ["好。", "坏。", "好的", "？", "赞", "顶顶", "沙发"]
    ran = run_texts(tmp_path, [*short, "顶顶"], KEEP_ALL)
    assert sorted(ran.kept) == sorted(short)
    assert ran.funnel["dropped"] == {"exact_duplicate": 1}

    story = pa.array([PROSE * 30_000], pa.large_string())
    tokens = 2_500_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    values, counted = signatures(story, k=5, count=112, seed=1)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert int(counted[0]) > tokens
    assert values.shape == (1, 112)
    assert grown < 300 << 20 < tokens * 112 * 8  # what the matrix would take


def test_08_a_clause_is_no_token(tmp_path: Path) -> None:
    r"""text-dedup splits at ``\W``: a Chinese clause is a token, and five are asked for.

    Posts of fewer clauses vanish, and two versions of one share no shingle. Ours must keep the
    posts and find the version.
    """
    posts = [hanzi(number, 60) + "。" for number in range(4)]
    version = posts[0][:-1] + "呀。"
    tokens = [[t for t in re.split(r"\W", post) if t] for post in (*posts, version)]
    assert all(len(found) < 5 for found in tokens)
    assert not set(tokens[0]) & set(tokens[4])

    ran = run_texts(tmp_path, [*posts, version], KEEP_ALL)
    assert sorted(ran.kept) == sorted([*posts[1:], version])
    assert ran.dropped == {posts[0]: "near_duplicate"}


@pytest.fixture(scope="module")
def boilerplate(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Ran]:
    """One notice, 3 000 times with a serial number."""
    texts = [f"{PROSE * 2}编号{number}。" for number in range(3000)]
    return texts, run_texts(tmp_path_factory.mktemp("nine"), texts, KEEP_ALL)


def test_09_every_pair_of_a_bucket(boilerplate: tuple[list[str], Ran]) -> None:
    """text-dedup joins each bucket with itself: 4.5 million pairs for 3 000 notices.

    Ours must write at most one pair a document and band, and keep one notice.
    """
    texts, ran = boilerplate
    results = [json.loads(path.read_text("utf-8"))["result"]
               for path in ran.folder.glob(".cache/pairs/*/result.json")]  # fmt: skip
    # Bands of few documents are one task; its counts are those of all fourteen.
    assert len(results) in (1, 14)
    bands = 14 // len(results)
    largest = max(result["largest"] for result in results)
    assert largest > 2000
    assert largest * (largest - 1) // 2 > 100 * len(texts)
    assert all(result["edges"] < bands * len(texts) for result in results)
    assert len(ran.kept) == 1
    assert ran.funnel["dropped"] == {"near_duplicate": 2999}


def test_10_a_rule_that_never_fires(tmp_path: Path) -> None:
    """MAP-NEO asks ``if not rule(text)`` of a rule that returns a tuple; so it never drops.

    Its count of overlapping characters is one of distinct characters, and a bad line of JSON ends
    the file with "success". Ours must drop a text of repeated 5-grams by name, count the share as
    it is, and read on.
    """
    refrain = "的年在月是和日了都有人来问"
    texts = [essay(1), f"{refrain}。\n" * 30 + PROSE, essay(2)]
    assert not [t for t in texts if not (len(set(t)) > 10**6, "duplicate n-grams")]

    write_json_lines(tmp_path / "in.jsonl", texts)
    lines = (tmp_path / "in.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "in.jsonl").write_text("".join(['{"text": 断\n', *lines]), "utf-8")
    off = [f"rules.zh.max_{name}=off" for name in (
        "duplicate_line_fraction", "duplicate_line_char_fraction", "newlines_per_word",
        *(f"top_{n}_gram_char_fraction" for n in (2, 3, 4)))]  # fmt: skip
    ran = run(tmp_path / "in.jsonl", tmp_path / "run", *off)
    assert (ran.funnel["read"], ran.funnel["quarantined"]) == (4, 1)
    assert sorted(ran.kept) == sorted([essay(1), essay(2)])
    assert ran.dropped == {texts[1]: "max_duplicate_5_gram_char_fraction"}
    words = re.findall(r"[\u4e00-\u9fff]", texts[1])
    seen: set[tuple[str, ...]] = set()
    at = repeated = 0
    while at + 5 <= len(words):  # from the left; what came before is counted and passed over
        gram = tuple(words[at : at + 5])
        repeated += 5 * (gram in seen)
        at += 5 if gram in seen else 1
        seen.add(gram)
    (value,) = ran.table("dropped")["value"].to_list()
    assert value == pytest.approx(repeated / len(words))


def test_11_the_first_bad_record_ends_the_file(tmp_path: Path) -> None:
    """ChineseWebText wraps the whole loop over a file in ``try``, and drops traditional characters.

    Ours must lose the bad record alone, and keep a text in traditional characters as it is.
    """
    from opencc import OpenCC

    texts = [essay(number) for number in range(30)] + [TRADITIONAL]
    write_json_lines(tmp_path / "in.jsonl", texts)
    lines = (tmp_path / "in.jsonl").read_bytes().splitlines(keepends=True)
    bad = b'{"text": "\xff\xfe"}\n'
    (tmp_path / "in.jsonl").write_bytes(b"".join([lines[0], bad, *lines[1:]]))
    peer = []
    try:
        for line in [lines[0], bad, *lines[1:]]:
            peer.append(json.loads(line)["text"])
    except ValueError:
        pass
    assert len(peer) == 1
    assert OpenCC("t2s").convert(TRADITIONAL) != TRADITIONAL

    ran = run(tmp_path / "in.jsonl", tmp_path / "run")
    assert sorted(ran.kept) == sorted(texts)
    assert ran.funnel["quarantined"] == 1
    scripts = dict(zip(ran.kept, ran.table("documents")["script"], strict=True))
    assert scripts[TRADITIONAL] == "Hant"
