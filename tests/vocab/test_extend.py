"""Growing from a corpus: prefixes, evidence, dictionaries, both kinds of base."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from yanmo.documents import SCHEMA, write_part
from yanmo.errors import DataError, UsageError
from yanmo.files import sha256_file
from yanmo.vocab.charsets import is_han
from yanmo.vocab.cli import group
from yanmo.vocab.corpus import hosts_of
from yanmo.vocab.extend import ExtendOptions, extend_tokenizer
from yanmo.vocab.load import load_tokenizer

WORDS = (
    "研墨",
    "先于",
    "落笔",
    "数据",
    "模型",
    "质量",
    "的",
    "是",
    "北京",
    "长城",
    "我们",
    "机器学习",
)
SPAM = "澳门赌场娱乐城"


def _text(generator: random.Random) -> str:
    marks = [*WORDS, "，", "。", " ink 2016 "]
    return "".join(generator.choices(marks, k=generator.randrange(10, 80)))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of forty sites; one of them repeats an advertisement on each of its pages."""
    generator = random.Random(11)
    rows: list[dict[str, Any]] = []
    for number in range(400):
        site = number % 40
        text = _text(generator)
        if site == 7:
            text += (SPAM + "，") * 8
        rows.append(
            {
                "id": f"{number:024x}",
                "text": text,
                "url": f"https://www.site{site}.example/{number}",
                "source": "made",
                "origin": f"made#{number}",
                "n_chars": len(text),
                "n_bytes": len(text.encode()),
            }
        )
    folder = tmp_path_factory.mktemp("run") / "documents"
    folder.mkdir()
    columns = {name: [row.get(name) for row in rows] for name in SCHEMA.names}
    write_part(folder / "part-00000.parquet", pa.table(columns, schema=SCHEMA))
    return folder.parent


@pytest.fixture(scope="session", params=["spm", "byte"])
def base(request: pytest.FixtureRequest, english_spm: Path, english_bytes: Path) -> Path:
    return english_spm if request.param == "spm" else english_bytes


def _new(folder: Path, base: Path) -> list[str]:
    loaded, size = load_tokenizer(folder), load_tokenizer(base).vocab_size
    return [loaded.decode([index]) for index in range(size, loaded.vocab_size)]


def test_extends_both_kinds(base: Path, corpus: Path, tmp_path: Path) -> None:
    report = extend_tokenizer(base, [corpus], tmp_path / "out", ExtendOptions(add=40))
    assert report["verification"]["passed"]
    assert (report["added"], report["size"]) == (40, report["base_size"] + 40)
    old, new = load_tokenizer(base), load_tokenizer(tmp_path / "out")
    assert (new.bos_id, new.eos_id) == (old.bos_id, old.eos_id)
    text = "我们的模型是机器学习模型，研墨先于落笔。"
    assert len(new.encode(text)) < len(old.encode(text))
    assert new.decode(new.encode(text)) == text
    english = "People create features; 2016  and\n\tagain."
    assert new.encode(english).tolist() == old.encode(english).tolist()
    words = _new(tmp_path / "out", base)
    assert all(is_han(word) or "\ufffd" in word for word in words)


def test_a_smaller_size_is_a_prefix(base: Path, corpus: Path, tmp_path: Path) -> None:
    lists = []
    for add in (11, 12, 35):
        extend_tokenizer(base, [corpus], tmp_path / str(add), ExtendOptions(add=add))
        table = (tmp_path / str(add) / "added.tsv").read_text(encoding="utf-8").splitlines()
        assert len(table) == add + 1
        lists.append(table)
    assert lists[0] == lists[1][:12]
    assert lists[1] == lists[2][:13]


def test_same_bytes_twice(base: Path, corpus: Path, tmp_path: Path) -> None:
    hashes = []
    for name in ("a", "b"):
        extend_tokenizer(base, [corpus], tmp_path / name, ExtendOptions(add=20))
        files = sorted((tmp_path / name).iterdir())
        hashes.append({path.name: sha256_file(path) for path in files})
    assert hashes[0] == hashes[1]


def test_words_of_one_site_are_kept_out(base: Path, corpus: Path, tmp_path: Path) -> None:
    options = ExtendOptions(add=200, shrink=True)
    report = extend_tokenizer(base, [corpus], tmp_path / "out", options)
    assert report["text"]["sites"] == 40
    assert report["kept_out"]["suspicious: mostly from one site"] >= 3
    kept_out = (tmp_path / "out" / "kept_out.tsv").read_text(encoding="utf-8").splitlines()
    rows = [
        dict(zip(kept_out[0].split("\t"), row.split("\t"), strict=True)) for row in kept_out[1:]
    ]
    spam = next(row for row in rows if row["token"] == "赌场")
    assert spam["domains"] == "1"
    assert float(spam["top_share"]) == 1.0
    assert int(spam["count"]) == 80
    assert int(spam["documents"]) == 10
    words = _new(tmp_path / "out", base)
    assert not [word for word in words if len(word) > 1 and word in SPAM]
    everything = ExtendOptions(add=200, shrink=True, max_domain_share=1.0)
    extend_tokenizer(base, [corpus], tmp_path / "all", everything)
    assert [word for word in _new(tmp_path / "all", base) if len(word) > 1 and word in SPAM]


def test_listed_words_are_kept_out(base: Path, corpus: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("# 不要\n模型\n", encoding="utf-8")
    options = ExtendOptions(add=60, shrink=True, blocklist=str(listed))
    report = extend_tokenizer(base, [corpus], tmp_path / "out", options)
    assert report["kept_out"]["holds the listed word 模型"] >= 1
    assert not [word for word in _new(tmp_path / "out", base) if "模型" in word]


def test_rare_words_are_kept_out(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"
    texts = ["研墨先于落笔，" * 9 + "罕见词，" * 20, "研墨先于落笔，" * 9]
    lines = [json.dumps({"text": text, "url": None}) for text in texts]
    path.write_text("\n".join(lines), encoding="utf-8")
    report = extend_tokenizer(base, [path], tmp_path / "out", ExtendOptions(add=50, shrink=True))
    assert report["kept_out"]["in too few documents"] >= 1
    assert "罕见词" not in _new(tmp_path / "out", base)


def test_dictionary_and_required_characters(base: Path, corpus: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.tsv"
    words.write_text("砚台\t3\n文房四宝\t2\n", encoding="utf-8")
    options = ExtendOptions(add=60, dictionary=str(words), shrink=True)
    report = extend_tokenizer(base, [corpus], tmp_path / "out", options)
    assert report["added_by_reason"]["dictionary"] == 2
    loaded = load_tokenizer(tmp_path / "out")
    for word in ("砚台", "文房四宝"):
        assert loaded.encode("a" + word).size == loaded.encode("a").size + 1
    many = ExtendOptions(add=60, required_chars="gb2312-1")
    with pytest.raises(UsageError, match="need"):
        extend_tokenizer(base, [corpus], tmp_path / "x", many)
    words.write_text("砚台abc", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot become an entry"):
        extend_tokenizer(base, [corpus], tmp_path / "x", options)


def test_weights_change_the_order(english_spm: Path, tmp_path: Path) -> None:
    for name, word in (("one", "研墨"), ("two", "落笔")):
        lines = [json.dumps({"text": f"{word}，" * times}) for times in (10, 11)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    inputs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    firsts = []
    for weights in ({"one": 3.0}, {"two": 3.0}):
        options = ExtendOptions(add=3, weights=weights, shrink=True)
        extend_tokenizer(english_spm, inputs, tmp_path / "out", options)
        firsts.append(set(_new(tmp_path / "out", english_spm)))
    assert firsts == [{"研", "墨", "研墨"}, {"落", "笔", "落笔"}]
    with pytest.raises(UsageError, match="names no input"):
        extend_tokenizer(
            english_spm, inputs, tmp_path / "out", ExtendOptions(add=3, weights={"three": 1.0})
        )


def test_errors(base: Path, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not support 5000 new entries, only"):
        extend_tokenizer(base, [corpus], tmp_path / "x", ExtendOptions(add=5000))
    english = tmp_path / "english.txt"
    english.write_text("no hanzi here", encoding="utf-8")
    with pytest.raises(DataError, match="no Han text"):
        extend_tokenizer(base, [english], tmp_path / "x", ExtendOptions(add=5))
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "研"}\n[1]\n', encoding="utf-8")
    with pytest.raises(DataError, match="no text in field") as caught:
        extend_tokenizer(base, [bad], tmp_path / "x", ExtendOptions(add=5))
    assert "bad.jsonl:2" in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_hosts() -> None:
    urls = [
        "https://www.Example.com/a?b",
        "http://user:pw@news.例子.中国:8080/x",
        "ftp://host",
        "no url",
        None,
        "https:///x",
    ]
    found = hosts_of(pa.array(urls, pa.string())).to_pylist()
    assert found == ["example.com", "news.例子.中国", "host", None, None, None]


def test_command(english_spm: Path, corpus: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    arguments = ["extend", str(english_spm), str(corpus), "--out", out, "--add", "30", "--json"]
    result = CliRunner().invoke(group, [*arguments, "--set", "max_chars=2", "--shrink"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert (printed["added"], printed["size"]) == (30, printed["base_size"] + 30)
    assert max(map(len, _new(tmp_path / "out", english_spm))) == 2


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["llama", "minimind"])
def test_on_real_text(name: str, realdata: Path, tmp_path: Path) -> None:
    text = [
        realdata / "text" / f"{source}.jsonl.zst" for source in ("zh-howtocook", "zh-javaguide")
    ]
    base = realdata / "tokenizers" / name
    report = extend_tokenizer(base, text, tmp_path, ExtendOptions(add=3000, verify_lines=1500))
    assert report["verification"]["passed"]
    assert report["text"]["breaks_across_characters"] < 0.05 * report["text"]["han_runs"]
    old, new = load_tokenizer(base), load_tokenizer(tmp_path)
    sample = "数据清洗比模型结构更重要，先把锅烧热，再倒入食用油。"
    assert len(new.encode(sample)) < 0.9 * len(old.encode(sample))


def test_phrases_that_are_copied_whole_are_kept_out(english_spm: Path, tmp_path: Path) -> None:
    """The same phrase in the same sentence each time is kept out; in new company it is a word."""
    path = tmp_path / "mail.jsonl"
    texts = [f"可以代开发票，{first}{second}机器学习。" for first in WORDS for second in WORDS]
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    report = extend_tokenizer(
        english_spm, [path], tmp_path / "out", ExtendOptions(add=30, shrink=True)
    )
    words = _new(tmp_path / "out", english_spm)
    assert "机器学习" in words
    assert not [word for word in words if len(word) > 3 and word in "可以代开发票"]
    assert report["kept_out"]["suspicious: copied with what stands around it"] >= 1
    off = ExtendOptions(add=30, shrink=True, min_variety=0.0)
    extend_tokenizer(english_spm, [path], tmp_path / "all", off)
    assert "可以代开发票" in _new(tmp_path / "all", english_spm)


def test_a_few_known_sites_prove_nothing(english_spm: Path, tmp_path: Path) -> None:
    """One occurrence on a known site among a thousand elsewhere is no monopoly of that site."""
    path = tmp_path / "mixed.jsonl"
    rows = [{"text": "研墨。落笔。" * 3, "url": None} for _ in range(50)]
    rows += [
        {"text": f"数据{'研墨' if n == 0 else ''}。", "url": f"http://s{n}.cn/"} for n in range(25)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    report = extend_tokenizer(
        english_spm, [path], tmp_path / "out", ExtendOptions(add=9, shrink=True)
    )
    assert report["text"]["sites"] == 25
    assert "研墨" in _new(tmp_path / "out", english_spm)
