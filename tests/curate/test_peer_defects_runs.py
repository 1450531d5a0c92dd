"""Defects of other pipelines on Chinese text, each a test of ours: rows 12 to 20 of the list.

Rows 1 to 11 are in ``test_peer_defects``.
"""

import ast
import gzip
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from yanmo.curate.pack import pack_folder
from yanmo.curate.pack_options import PackSettings
from yanmo.curate.run_recipe import CurateRecipe
from yanmo.errors import RecipeError
from yanmo.recipe import load
from yanmo.shards import open_shards

from .duplicate_parts import document_table, find_near, write_parts
from .peer_corpus import PROSE, TRADITIONAL, essay, hanzi, run, run_texts, write_json_lines

KEEP_ALL = "decide=false"


MENU = ["首页", "国内新闻", "国际新闻", "财经频道", "体育频道", "登录", "免费注册", "设为首页"]
FOOTER = "版权所有 某某新闻网 网站备案号 未经许可不得转载 联系我们 广告服务 招聘信息"


def web_page(number: int) -> str:
    """A news page with a menu, links beside the article, and a footer."""
    links = "".join(f'<li><a href="/{name}">{name}</a></li>' for name in MENU)
    more = "".join(f'<li><a href="/{k}">{hanzi(k, 12)}</a></li>' for k in range(900, 912))
    body = "".join(f"<p>{line}</p>" for line in essay(number).split("\n"))
    return (
        f"<html><head><meta charset='utf-8'><title>第{number}篇</title></head><body>"
        f"<nav><ul>{links}</ul></nav><article><h1>第{number}篇</h1>{body}</article>"
        f"<aside class='sidebar'><ul>{more}</ul></aside><footer><p>{FOOTER}</p></footer>"
        "</body></html>"
    )


def test_12_no_boilerplate_removed_from_chinese_pages(tmp_path: Path) -> None:
    """Curator's default extractor returns every paragraph of a Chinese page.

    Ours must keep the article whole, and none of menu, side bar and footer.
    """
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.html").write_text(web_page(number), encoding="utf-8")
    furniture = [*MENU, FOOTER, *(hanzi(k, 12) for k in range(900, 912))]
    every_paragraph = re.sub("<[^>]+>", "\n", web_page(0))
    assert all(piece in every_paragraph for piece in furniture)

    ran = run(tmp_path / "in", tmp_path / "run", KEEP_ALL)
    assert len(ran.kept) == 3
    for number, text in enumerate(sorted(ran.kept)):
        assert all(line in text for line in essay(number).split("\n"))
        assert [piece for piece in furniture if piece in text] == []


def response(body: bytes, media: str = "text/html; charset=utf-8", *, uri: str = "a") -> bytes:
    """A WARC record with a page in it."""
    block = f"HTTP/1.1 200 OK\r\nContent-Type: {media}\r\n\r\n".encode() + body
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Date: 2026-01-02T03:04:05Z\r\n"
        f"WARC-Target-URI: http://{uri}.example/\r\nContent-Type: application/http\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def test_13_a_record_that_fails_ends_the_archive(tmp_path: Path) -> None:
    """Curator goes on with a generator that has raised, which is finished: the rest is lost.

    Ours must read every good record after a broken gzip member, a header that is none and a
    length that is no number, and put the bad bytes on the books.
    """

    def reader() -> Iterator[int]:
        for number in range(10):
            if number == 3:
                raise ValueError("broken record")
            yield number

    records, seen = reader(), []
    for _ in range(10):
        try:
            seen.append(next(records))
        except ValueError:
            continue
        except StopIteration:
            break
    assert seen == [0, 1, 2]

    pages = [response(web_page(number).encode(), uri=f"s{number}") for number in range(6)]
    bad_length = pages[0].replace(b"Content-Length: ", b"Content-Length: x")
    members = [gzip.compress(p, mtime=0) for p in (pages[0], bad_length, pages[1], b"WARC rubbish",
                                                   *pages[2:])]  # fmt: skip
    torn = bytearray(members[4])
    torn[40:60] = b"\xff" * 20
    (tmp_path / "a.warc.gz").write_bytes(b"".join([*members[:4], bytes(torn), *members[5:]]))
    ran = run(tmp_path / "a.warc.gz", tmp_path / "run", KEEP_ALL)
    found = re.findall(r"这是第(\d)篇", "".join(ran.kept))
    assert sorted(found) == ["0", "1", "3", "4", "5"]
    assert ran.funnel["quarantined"] == 3
    size = (tmp_path / "a.warc.gz").stat().st_size
    assert ran.funnel["bytes"]["stored"]["bytes"] == size


GBK_ONLY = "朱镕基、陶喆、㼆、囍、€"


def test_14_charsets_of_chinese_pages(tmp_path: Path) -> None:
    """datatrove and Curator try UTF-8 and a detector, strictly, and drop the page.

    What HTTP and ``meta`` say is ignored and GB2312 taken at its word; an undecodable page fails
    dolma's whole archive. Ours must read all of these, the last one but for its bad byte.
    """
    page = "<html><head>{}</head><body><article><p>{}</p><p>{}</p></article></body></html>"
    mainland = page.format("", GBK_ONLY, PROSE)
    taiwan = page.format("", "台灣的圖書館", TRADITIONAL)
    meta = page.format('<meta charset="gb2312">', GBK_ONLY, PROSE)
    for encoding in ("utf-8", "gb2312"):
        with pytest.raises(UnicodeDecodeError):
            mainland.encode("gb18030").decode(encoding)
    bad = mainland.encode("gb18030").replace("研墨要慢".encode("gb18030"), b"\xff\xff")
    records = [
        response(mainland.encode("gb18030"), "text/html; charset=gb2312", uri="http"),
        response(meta.encode("gb18030"), "text/html", uri="meta"),
        response(mainland.encode("gb18030"), "text/html", uri="nobody"),
        response(taiwan.encode("big5"), "text/html; charset=big5", uri="big5"),
        response(taiwan.encode("big5"), "text/html; charset=utf-8", uri="liar"),
        response(bad, "text/html; charset=gbk", uri="bad"),
        response(mainland.encode(), "text/html", uri="last"),
    ]
    (tmp_path / "a.warc").write_bytes(b"".join(records))
    ran = run(tmp_path / "a.warc", tmp_path / "run", KEEP_ALL, "duplicates.exact=false",
              "duplicates.near=false")  # fmt: skip
    table = ran.table("documents")
    texts = {url[7:].partition(".")[0]: text for url, text in table.select("url", "text").rows()}
    assert list(texts) == ["http", "meta", "nobody", "big5", "liar", "bad", "last"]
    for name in ("http", "meta", "nobody", "last"):
        assert GBK_ONLY in texts[name], name
        assert PROSE in texts[name], name
    for name in ("big5", "liar"):
        assert TRADITIONAL in texts[name], name
    assert PROSE[PROSE.index("，水要少") :] in texts["bad"]
    assert ran.funnel["quarantined"] == 0


def hanzi_tokenizer(folder: Path, *, first: int) -> Path:
    """A tokenizer whose ids of hanzi begin at ``first``."""
    vocab = {"<unk>": 0, "</s>": 1} | {f"<filler {n}>": n for n in range(2, first)}
    vocab |= {chr(0x4E00 + n): first + n for n in range(0x9FFF - 0x4E00)}
    split = {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False}
    end = {"id": 1, "content": "</s>", "special": True, "normalized": False, "single_word": False,
           "lstrip": False, "rstrip": False}  # fmt: skip
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
        "pre_tokenizer": split, "post_processor": None, "decoder": None, "added_tokens": [end],
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    return folder


def test_15_token_ids_in_sixteen_bits(tmp_path: Path) -> None:
    """datatrove's exact substrings read tokens as uint16, also those of an extended vocabulary.

    Ours must give back every id of a tokenizer of 86 000 entries, from shards of 32 bits.
    """
    first = 65_536
    tokenizer = hanzi_tokenizer(tmp_path / "tokenizer", first=first)
    texts = [hanzi(number, 50) for number in range(8)]
    want = [[first + ord(c) - 0x4E00 for c in text] for text in texts]
    with pytest.raises(OverflowError):
        np.fromiter(want[0], np.uint16)

    write_parts(tmp_path / "in", [document_table(texts, [f"d{n}" for n in range(8)])])
    pack_folder(tmp_path / "in", tokenizer=tokenizer, out=tmp_path / "out", quiet=True,
                settings=PackSettings(holdout_fraction=0.0))  # fmt: skip
    shards = open_shards(tmp_path / "out", verify="full")
    assert shards.vocabulary.dtype == "uint32"
    assert [shards.document(n).tolist() for n in range(8)] == [[*ids, 1] for ids in want]


KILLED = """
import os, signal, sys
from pathlib import Path
real = os.rename
def rename(old, new, **more):
    real(old, new, **more)
    if "/clean/" in str(new):
        os.kill(os.getpid(), signal.SIGKILL)
os.rename = rename
sys.argv[0] = "yanmo"
from yanmo.cli import main
main()
"""


def corpus_of_files(folder: Path) -> Path:
    """Four files; texts repeat over them, as they are and with a line more."""
    folder.mkdir()
    for number in range(4):
        own = [essay(10 * number + k) for k in range(8)]
        shared = [essay(1000), essay(2000 + number // 2), essay(3000) + f"\n转载自第{number}站。"]
        write_json_lines(folder / f"{number}.jsonl", [*own, *shared, "短。"])
    return folder


@pytest.mark.slow
def test_16_the_funnel_after_a_restart(tmp_path: Path) -> None:
    """datatrove writes the statistics of a resumed run from the tasks that it ran anew.

    Ours must tell the same funnel after a kill as without one, though half was done before.
    """
    source = corpus_of_files(tmp_path / "in")
    arguments = ["curate", "run", str(source), "--out", str(tmp_path / "run"), "-q", "--workers",
                 "1", "--json", "--set", "read.group_files=1"]  # fmt: skip
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False,
                            capture_output=True, env={**os.environ})  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "run" / "funnel.json").exists()

    resumed = run(source, tmp_path / "run", "read.group_files=1")
    steps = resumed.result.steps
    assert steps["ingest"]["cached"] == steps["ingest"]["tasks"] == 4
    assert 0 < steps["clean"]["cached"] < steps["clean"]["tasks"]
    straight = run(source, tmp_path / "straight", "read.group_files=1")
    assert straight.funnel["read"] == 48
    assert resumed.funnel == straight.funnel
    for name in ("funnel.json", "duplicates/documents.parquet"):
        told = [(ran.folder / name).read_bytes() for ran in (resumed, straight)]
        assert told[0] == told[1]


@pytest.mark.slow
def test_17_who_stays_is_left_to_chance(tmp_path: Path) -> None:
    """dolma's bloom filter has random seeds, and its threads race: the copy that stays varies.

    Ours must keep the same documents for one worker and two, for parts cut otherwise and for parts
    in another order.
    """
    source = corpus_of_files(tmp_path / "in")
    runs = [run(source, tmp_path / "one", "read.group_files=1"),
            run(source, tmp_path / "two", "read.group_files=1", workers=2),
            run(source, tmp_path / "cut", "read.group_files=3")]  # fmt: skip
    tables = [ran.table("duplicates").sort("id").to_dicts() for ran in runs]
    assert len(tables[0]) == 4 + 2 + 2 + 4
    assert tables[0] == tables[1] == tables[2]
    assert [sorted(ran.table("documents")["id"]) for ran in runs[1:]] == [
        sorted(runs[0].table("documents")["id"])
    ] * 2

    texts = [essay(n % 12) + "\n转载。" * (n // 12) for n in range(36)]
    table = document_table(texts, [f"d{n:02d}" for n in range(36)])
    orders = []
    for number, cuts in enumerate(((0, 13, 24, 36), (24, 13, 0))):
        ends = sorted(cuts) + ([36] if 36 not in cuts else [])
        pieces = [table[a:b] for a, b in itertools.pairwise(ends)]
        pieces = pieces if number == 0 else pieces[::-1]
        rows, _ = find_near(tmp_path / f"w{number}", write_parts(tmp_path / f"p{number}", pieces))
        orders.append(sorted((row["id"], row["cluster"], row["kept_id"]) for row in rows))
    assert len(orders[0]) == 36
    assert orders[0] == orders[1]


ID = "11010519491231002X"
LETTER = f"请致电 13800138000 或 +86 139-1234-5678，身份证{ID}，邮箱 li.si@example.cn。\n{PROSE}"


def test_18_telephone_numbers_of_another_country(tmp_path: Path) -> None:
    """dolma looks for the telephone numbers of the United States, and knows no resident ID.

    It takes ten of the eleven digits of a Chinese mobile number. Ours must take all of them, the
    ID with its check digit, and nothing else; every character is on the ledger.
    """
    american = re.compile(r"\s+\(?(\d{3})\)?[-\. ]*(\d{3})[-. ]?(\d{4})")
    peer = american.sub(" |||PHONE|||", LETTER)
    assert "|||PHONE|||0 或" in peer
    assert ID in peer
    assert len(LETTER.split()) < 10  # what its score divides by

    ran = run_texts(tmp_path, [LETTER, essay(1)], "pii.action=replace", "pii.salt=盐")
    want = LETTER.replace("13800138000", "[MOBILE]").replace("+86 139-1234-5678", "[MOBILE]")
    want = want.replace(ID, "[ID_CARD]").replace("li.si@example.cn", "[EMAIL]")
    assert ran.kept == [want, essay(1)]
    row = ran.table("documents").row(0, named=True)
    assert (row["n_chars"], row["n_bytes"]) == (len(want), len(want.encode()))
    finds = ran.table("pii")
    assert [LETTER[a:b] for a, b in finds.select("start", "end").rows()] == [
        "13800138000", "+86 139-1234-5678", ID, "li.si@example.cn",
    ]  # fmt: skip
    assert not re.search("13800138000|li.si", str(finds.rows()))
    edits = ran.funnel["characters"]["edits"]
    assert edits["pii_mobile"] == {"removed": 11 + 17, "added": 16}
    assert edits["pii_id_card"] == {"removed": 18, "added": 9}
    assert ran.funnel["characters"]["kept"] == len(want) + len(essay(1))
    assert "pii_mobile" in (ran.folder / "report.html").read_text("utf-8")
    # Only this step is redone for another action, and none for the same.
    again = run(tmp_path / "in.jsonl", tmp_path / "run", "pii.action=mask")
    assert {s for s, n in again.result.steps.items() if n["tasks"] > n["cached"]} == {"pii"}
    off = run(tmp_path / "in.jsonl", tmp_path / "run")
    assert off.kept == [LETTER, essay(1)]
    assert list((off.folder / "pii").iterdir()) == []


HOSTS = (
    "服务器 101.37.225.58 从内网 192.168.1.10 迁到 2408:8207:1850::5ac，"
    "系统版本 10.15.37.4，组件 v120.20.30.40，编号 1.101.37.225.58.3，电话13800138000，"
    f"卡号4111 1111 1111 1111。\n{PROSE}"
)


def test_19_addresses_without_edges(tmp_path: Path) -> None:
    """datatrove's pattern of IP addresses has no edges, and it has none for telephones or IDs.

    It rewrites parts of version strings and longer numbers. Ours must rewrite the two public
    addresses, the telephone and the card, and leave versions and private addresses.
    """
    octet = "(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
    peer = re.sub(rf"(?:{octet}\.){{3}}{octet}", "22.214.171.124", HOSTS)
    assert "编号 22.214.171.124.58.3" in peer
    assert "版本 22.214.171.124" in peer
    assert "13800138000" in peer

    ran = run_texts(tmp_path, [HOSTS], KEEP_ALL, "pii.action=replace")
    want = HOSTS.replace("58 从", "# 从").replace("101.37.225.#", "[IP]")
    want = want.replace("2408:8207:1850::5ac", "[IP]").replace("13800138000", "[MOBILE]")
    assert ran.kept == [want.replace("4111 1111 1111 1111", "[BANK_CARD]")]


def test_20_settings_that_are_run_and_removal_that_is_not(tmp_path: Path, root: Path) -> None:
    """Curator calls ``eval`` on a string of settings, and raises where duplicates are to go.

    Ours must take a setting for a value and nothing more, have no ``eval``, ``exec`` or pickle in
    its code, and leave ``documents`` without the duplicates, on a processor.
    """
    flag = tmp_path / "flag"
    code = f"__import__('pathlib').Path({str(flag)!r}).touch()"
    eval(code)
    assert flag.exists()  # that is what the setting would do
    flag.unlink()
    for setting in (f"rules.zh.min_words={code}", f"read.encoding={code}"):
        with pytest.raises(RecipeError):
            load(CurateRecipe, None, [setting])
    assert not flag.exists()

    banned = {"eval", "exec", "compile"}
    calls = [
        f"{path.name}:{node.lineno}"
        for stage in ("core", "curate")
        for path in sorted((root / stage).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Call) and getattr(node.func, "id", "") in banned)
        or (isinstance(node, ast.Import) and any(a.name == "pickle" for a in node.names))
    ]
    assert calls == []

    texts = [essay(1), essay(2), essay(1), essay(2) + "\n转载。"]
    ran = run_texts(tmp_path / "corpus", texts)
    assert sorted(ran.kept) == sorted([essay(1), essay(2) + "\n转载。"])
    dropped: dict[str, Any] = ran.funnel["dropped"]
    assert dropped == {"exact_duplicate": 1, "near_duplicate": 1}
