"""Line rules: the kernel against a slow judge, the diff, the ledger, and what real pages lose."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate import line_phrases
from yanmo.curate.clean import clean_part
from yanmo.curate.line_phrases import (
    FAMILIES,
    KINDS,
    PLACES,
    RULES,
    read_phrases,
    traditional_forms,
)
from yanmo.curate.lines import LineOptions, cut_lines
from yanmo.curate.normalize import normalize
from yanmo.documents import SCHEMA, write_part
from yanmo.documents import texts as texts_of
from yanmo.errors import RecipeError
from yanmo.recipe import from_table, to_table

from .slow_lines import Judge, clean

PHRASES = read_phrases()
NOTHING = LineOptions(boilerplate=(), counters=False)
EVERYTHING = LineOptions(navigation=True, javascript=True, policy=True, citations=True)
SHAPES = (
    LineOptions((), False, terminal_punctuation=True, max_uppercase_fraction=0.5),
    LineOptions((), False, numeric=True, one_word=True, max_word_chars=8),
    LineOptions((), False, min_words=3, citations=True),
)


def cut(text: str, options: LineOptions) -> tuple[str, list[tuple[int, int, str]]]:
    found, _ = cut_lines(pa.array([text], pa.large_string()), options)
    spans = [(start, end, RULES[rule]) for _, start, end, rule in found.spans.tolist()]
    assert found.pieces.to_pylist() == [text[start:end] for start, end, _ in spans]
    return found.text[0].as_py(), spans


def left(text: str, options: LineOptions | None = None) -> str:
    return cut(text, options or LineOptions())[0]


marks = st.sampled_from(list(' \t:：。，.（）[]【】|/>»·3７k万,-…"”#!`Ａ１\u3000\u200b二の한éǅ²'))
bits = st.one_of(
    st.sampled_from([p.text for p in PHRASES]),
    st.sampled_from(["[1]", "[edit]", "READ MORE", "javascript", "12", "abc", "张三", "\n"]),
    marks,
    st.text(max_size=3),
)
documents = st.lists(bits, max_size=30).map("".join)
lines = st.lists(st.lists(bits, min_size=1, max_size=4).map("".join), max_size=12).map("\n".join)


@settings(max_examples=60, deadline=None)
@given(st.one_of(documents, lines), st.sampled_from([EVERYTHING, LineOptions(), *SHAPES]))
def test_kernel_and_slow_judge_agree(text: str, options: LineOptions) -> None:
    after, spans = cut(text, options)
    assert spans == clean(text, Judge(options, PHRASES))
    kept, at = "", 0
    for start, end, _ in spans:
        kept, at = kept + text[at:start], end
    assert after == kept + text[at:]


@settings(max_examples=50, deadline=None)
@given(st.lists(documents, min_size=1, max_size=5))
def test_a_document_is_cut_alike_in_any_company(texts: list[str]) -> None:
    together, _ = cut_lines(pa.array(["", *texts, "上一篇"]).slice(1, len(texts)), EVERYTHING)
    assert together.text.to_pylist() == [left(text, EVERYTHING) for text in texts]


@settings(max_examples=50, deadline=None)
@given(lines)
def test_what_is_left_is_still_normal(text: str) -> None:
    text = normalize(pa.array([text], pa.large_string()))[0][0].as_py()
    after = left(text, EVERYTHING)
    assert not after.startswith("\n")
    assert not after.endswith("\n")
    assert "\n\n\n" not in after


SENTENCE = "段正文，说的是清晨的市场，卖豆腐的老人把木盒打开了。"
BODY = "\n".join(f"这是第{n}{SENTENCE}" for n in "一二三四五六七八九十")


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("责任编辑：陈一豪 唐浚中", "credit"),
        ("【責任編輯】王小明", "credit"),
        ("（来源：燕赵都市网）", "credit"),
        ("点击下载", "menu"),
        ("首页 上一页 5 6 7 8 尾页", "menu"),
        ("登录 / 注册", "menu"),
        ("关于研墨 联系我们 版权声明 隐私政策 友情链接", "menu"),
        ("上一篇：湿疹的治疗原则有哪些", "neighbours"),
        ("下一篇 旁观一场初恋", "neighbours"),
        ("微信扫码关注我们，获取更多资讯", "follow"),
        ("欢迎关注微信公众号：研墨", "follow"),
        ("版权所有：某某网络有限公司", "rights"),
        ("沪ICP备11028026号", "rights"),
        ("當前位置：首頁 > 新聞 > 正文", "position"),
        ("标签：人工智能, 供应链", "tags"),
        ("您需要登录后才可以回帖", "notice"),
    ],
)
def test_boilerplate_at_the_end_of_an_article_goes(line: str, rule: str) -> None:
    after, spans = cut(f"{BODY}\n{line}", LineOptions())
    assert after == BODY
    assert [name for *_, name in spans] == [f"boilerplate_{rule}"]


@pytest.mark.parametrize(
    "line",
    [
        "责任编辑把稿子退了回来，说第三段太长，要他当晚改好。",
        "下一篇文章里我们讲怎样训练分词器。",
        "版权所有者可以自行决定是否授权他人使用其作品。",
        "他点击下载按钮之后，等了很久，文件还是没有下来。",
        "编辑 /etc/hosts 文件，加上这一行：",
        "使用 Ctrl+D 退出。",
        "来源于生活的艺术才有生命力。",
        "// 返回顶部",
        "## 联系我们",
        "该网站有ICP备案，注册资金为两千万元。",
        "作者：鲁迅",
        "第3章",
        "3、回复【社保】查询",
        "2019-06-18",
        "相关新闻",
        "页脚要有关于我们、联系我们、隐私政策三项",
    ],
)
def test_text_that_resembles_boilerplate_stays(line: str) -> None:
    assert left(f"{BODY}\n{line}\n{BODY}") == f"{BODY}\n{line}\n{BODY}"
    assert left(f"{BODY}\n{line}") == f"{BODY}\n{line}"


@pytest.mark.parametrize(
    ("line", "goes"),
    [("3 likes", True), ("1,204 Comments", True), ("3.5k views", True), ("12条评论", True),
     ("阅读(1.2万)", True), ("点击：1428", True), ("评论", False), ("3 apples", False),
     ("views=3", False), ("'comments': 1,", False), ("three likes", False)],
)  # fmt: skip
def test_counters(line: str, goes: bool) -> None:
    after = left(f"{BODY}\n{line}\n{BODY}", LineOptions(boilerplate=()))
    assert after == (f"{BODY}\n{BODY}" if goes else f"{BODY}\n{line}\n{BODY}")


def test_place_counts() -> None:
    """A list of keywords is at home at the end; 关键词 in the middle may be text."""
    line = "标签：人工智能, 供应链"
    assert left(f"{BODY}\n{line}\n{BODY}\n{BODY}") == f"{BODY}\n{line}\n{BODY}\n{BODY}"


def test_refinedweb_and_c4_rules_by_name() -> None:
    text = (
        "WE USE CAPITALS HERE\n1 2 3\nword\nPlease enable JavaScript now.\nWe use cookies.\n"
        "A full line ends.\nno end"
    )
    options = LineOptions(
        (), False, max_uppercase_fraction=0.5, numeric=True, one_word=True, javascript=True,
        policy=True, terminal_punctuation=False,
    )  # fmt: skip
    after, spans = cut(text, options)
    assert after == "A full line ends.\nno end"
    assert [rule for *_, rule in spans] == [
        "refinedweb_uppercase", "refinedweb_numeric", "refinedweb_one_word", "c4_javascript",
        "c4_policy",
    ]  # fmt: skip
    assert left(text, LineOptions((), False, terminal_punctuation=True)).count("\n") == 2
    assert left("他走了……\n他来了\n“好。”", LineOptions((), False, terminal_punctuation=True)) == (
        "他走了……\n“好。”"
    )
    assert left("Sea level[12] rose[citation needed].", LineOptions((), False, citations=True)) == (
        "Sea level rose."
    )
    navigation = LineOptions((), False, navigation=True)
    assert left("The town and its mills read more...", navigation) == "The town and its mills"
    assert left("昨天他们到了河边 [详细]", navigation) == "昨天他们到了河边"


def test_phrase_file_is_sound() -> None:
    assert {RULES[p.rule] for p in PHRASES} >= {f"boilerplate_{family}" for family in FAMILIES}
    assert all(len(p.text) > 1 or KINDS[p.kind] in ("filler", "counter") for p in PHRASES)
    assert all(p.text == p.text.strip() or p.text[0] == " " for p in PHRASES)
    assert {PLACES[p.place] for p in PHRASES} == set(PLACES)
    assert any(p.text == "責任編輯" for p in PHRASES)


def part(path: Path, texts: list[str], **columns: Any) -> Path:
    rows = [
        {"id": f"d{i}", "text": t, "url": None, "source": "s", "origin": f"f#{i}",
         "n_chars": len(t), "n_bytes": len(t.encode()),
         "lang": "zh", "lang_score": 1.0, "script": "Hans",
         **{name: values[i] for name, values in columns.items()}}
        for i, t in enumerate(texts)
    ]  # fmt: skip
    write_part(path, pa.Table.from_pylist(rows, SCHEMA))
    return path


def run_part(path: Path, out: Path, options: LineOptions, convert: str = "off") -> dict[str, Any]:
    out.mkdir()
    edit = {"lines": to_table(options), "convert": convert, "keep_dropped": "text",
            "sample_fraction": 0.01}  # fmt: skip
    return clean_part([path], {"edit": edit}, out)


def test_the_task_keeps_its_books(tmp_path: Path) -> None:
    texts = [f"{BODY}\n责任编辑：张三\n12条评论", BODY, "上一篇：无\n下一篇：无", "3 likes"]
    result = run_part(part(tmp_path / "in.parquet", texts), tmp_path / "out", LineOptions())
    kept = pq.read_table(tmp_path / "out" / "documents.parquet").to_pylist()
    assert [row["text"] for row in kept] == [BODY, BODY]
    assert [(r["n_chars"], r["n_bytes"]) for r in kept] == [(len(BODY), len(BODY.encode()))] * 2
    assert result["dropped"] == {"no_text_left": {"documents": 2, "chars": 18}}
    edits = pq.read_table(tmp_path / "out" / "edits.parquet").to_pylist()
    assert [(e["id"], e["rule"], e["text"]) for e in edits] == [
        ("d0", "boilerplate_credit", "\n责任编辑：张三"),
        ("d0", "refinedweb_counter", "\n12条评论"),
    ]  # fmt: skip
    by_rule = {rule: n["removed"] for rule, n in result["edits"].items() if n["removed"]}
    assert by_rule == {"boilerplate_credit": 8, "refinedweb_counter": 6}
    dropped = pq.read_table(tmp_path / "out" / "dropped.parquet").to_pylist()
    assert [row["text"] for row in dropped] == texts[2:]


def test_a_document_that_loses_too_many_words_is_dropped(tmp_path: Path) -> None:
    texts = [f"{BODY}\n12条评论", "他们走到河边。\n12条评论"]
    options = LineOptions(max_removed_word_fraction=0.05)
    result = run_part(part(tmp_path / "in.parquet", texts), tmp_path / "out", options)
    assert result["dropped"] == {"max_removed_word_fraction": {"documents": 1, "chars": 13}}
    row = pq.read_table(tmp_path / "out" / "dropped.parquet").to_pylist()[0]
    assert (row["id"], row["step"], row["threshold"]) == ("d1", "lines", 0.05)
    assert row["value"] == pytest.approx(4 / 10)  # 12, 条, 评, 论 of those and six hanzi
    assert result["edits"]["refinedweb_counter"]["removed"] == 6  # the other document's


def test_batches_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{BODY[: 40 * i]}\n责任编辑：张三\n第{i}段" for i in range(9)]
    path = part(tmp_path / "in.parquet", texts)
    run_part(path, tmp_path / "one", LineOptions())
    monkeypatch.setattr("yanmo.curate.clean.BATCH_ROWS", 2)
    run_part(path, tmp_path / "two", LineOptions())
    for name in ("documents.parquet", "edits.parquet", "dropped.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_kept_traditional_forms_are_those_of_opencc() -> None:
    kept = {(p.text, p.rule) for p in PHRASES}
    path = Path(line_phrases.__file__).parent / "data" / "line_phrases_traditional.tsv"
    rows = [row.split("\t") for row in path.read_text("utf-8").splitlines() if row[0] != "#"]
    assert rows == traditional_forms()
    assert ("上一篇", RULES.index("boilerplate_neighbours")) in kept
    assert ("責任編輯", RULES.index("boilerplate_credit")) in kept


ASCII = [p.text for p in PHRASES if p.text.isascii()]
ascii_bits = st.sampled_from([*ASCII, *map(str.upper, ASCII), *"12 :.,-#'az(\n", "3.5k ", "word "])


@settings(max_examples=60, deadline=None)
@given(st.lists(ascii_bits, max_size=30).map("".join), st.sampled_from([EVERYTHING, LineOptions()]))
def test_lines_of_ascii_take_a_shorter_way_to_the_same_end(text: str, options: LineOptions) -> None:
    assert cut(text, options)[1] == clean(text, Judge(options, PHRASES))


def test_every_phrase_of_ascii_is_found_on_the_shorter_way() -> None:
    prose = "It rained all day, and nobody came to the harbour that evening.\n" * 20
    judge, found = Judge(LineOptions(), PHRASES), set()
    for phrase in ASCII:
        for line in (phrase, phrase.upper(), f"x {phrase} y", f"12 {phrase}", f"* {phrase}: a, b",
                     f"({phrase}) 3.5k", f"a{phrase}"):  # fmt: skip
            spans = cut(prose + line, LineOptions())[1]
            assert spans == clean(prose + line, judge), line
            found |= {rule for _, _, rule in spans}
    assert found == {"boilerplate_tags", "boilerplate_rights", "refinedweb_counter"}


def test_mistaken_family_is_told() -> None:
    with pytest.raises(RecipeError, match=r"none of the choices.*Did you mean 'credit'"):
        from_table(LineOptions, {"boilerplate": ["credits"]}, where="lines")
    assert not NOTHING.is_on


@pytest.mark.realdata
def test_text_that_people_chose_keeps_its_lines(realdata: Path) -> None:
    """News, books and statutes lose nothing; journal articles only the names of their editors."""
    lost: dict[str, list[tuple[str, str]]] = {}
    for name in ("en-bbc", "zh-laws_lawrefbook", "zh-xin-wen-lian-bo", "zh-fudan-textinfoexp"):
        for column in texts_of(realdata / "text" / f"{name}.jsonl.zst"):
            found, _ = cut_lines(column, LineOptions())
            rules = [RULES[rule] for rule in found.spans[:, 3].tolist()]
            pieces = found.pieces.to_pylist()
            lost.setdefault(name, []).extend(zip(rules, pieces, strict=True))
    editors = lost.pop("zh-fudan-textinfoexp")
    assert lost == {"en-bbc": [], "zh-laws_lawrefbook": [], "zh-xin-wen-lian-bo": []}
    assert len(editors) > 60
    named = [p for _, p in editors if p.strip() and "编辑" in p]
    assert len(named) >= 0.95 * sum(1 for _, p in editors if p.strip())
