"""Main content by blocks: the kernel against the tree it reads, and what is kept of a page."""

import random
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resiliparse.parse.html import HTMLTree

from yanmo.curate import boilerplate
from yanmo.curate.blocks import AD, COMMENT, HINT_TABLE, META, RELATED, SIDE
from yanmo.curate.boilerplate import NOTICE, SECTION, phrases_in
from yanmo.curate.extract import ExtractOptions
from yanmo.curate.main_content import blocks_text
from yanmo.curate.markup import (
    ELEMENT,
    END,
    FIRST,
    HINTS,
    LAST,
    LINKED,
    MARKS,
    PARENT,
    WEIGHT,
    read_blocks,
)  # fmt: skip
from yanmo.curate.sandbox import TooLarge
from yanmo.curate.tags import HIDDEN

OPTIONS = asdict(ExtractOptions())
SENTENCES = [
    f"第{number}段说的是会议的情况，代表们讨论了工作计划，并提出了许多具体的建议。" * 3
    for number in "一二三四五"
]
ENGLISH = [
    f"Paragraph {number} tells what the council decided, who spoke against it, and what it costs."
    for number in ("one", "two", "three", "four", "five")
]


def extract(html: str, **options: Any) -> str:
    return blocks_text(html.encode(), OPTIONS | options)[0]


def paragraphs(texts: list[str]) -> str:
    return "".join(f"<p>{text}</p>" for text in texts)


def blocks_of(html: str) -> list[tuple[str, list[int]]]:
    """Text and columns of the blocks of a body."""
    body = HTMLTree.parse(html).body.html
    _, blocks, text, _ = read_blocks(body.encode(), HINT_TABLE)
    data = text.tobytes()
    return [(data[row[FIRST] : row[LAST]].decode(), row.tolist()) for row in blocks]


def test_blocks_by_hand() -> None:
    found = blocks_of(
        "<p>One,  two.\n<b>Three</b> <a href=x>four five</a></p>tail &amp; &lt;x&gt;&nbsp;y"
        "<script>var a = '<p>no</p>';</script><style>p{}</style><!-- <p>no -- -->"
        "<br><br>第一，中国。<br>二<pre> a\n  b</pre><select><option>no</select>"
    )
    assert [text for text, _ in found] == [
        *("One, two. Three four five", "tail & <x> y", "第一，中国。\n二", " a\n  b"),
    ]
    first, tail, chinese, _ = (row for _, row in found)
    assert (first[WEIGHT], first[LINKED], first[MARKS]) == (21, 8, 2)
    assert tail[WEIGHT] == 9
    assert (chinese[WEIGHT], chinese[MARKS]) == (21, 2)


def test_hints_are_words_of_classes() -> None:
    html = (
        "<div class='main-Sidebar_x'></div><div id=relatedPosts></div><div class=commentlist>"
        "</div><div class=header></div><div class=shadow></div><div role='Dialog'></div>"
        "<div itemprop=author hidden></div><div style='color: red; display : none'></div>"
        "<div style='display: nonesuch; display: block'></div>"
    )
    elements, *_ = read_blocks(HTMLTree.parse(html).body.html.encode(), HINT_TABLE)
    assert elements[1:, HINTS].tolist() == [
        *(SIDE, RELATED, COMMENT, 0, 0, AD, META | HIDDEN, HIDDEN, 0),
    ]


NODES = st.recursive(
    st.text(st.sampled_from("ab。，&<>\u00a0\u3000 \n\"'é𝒳"), max_size=8).map(
        lambda text: text.replace("&", "&amp;").replace("<", "&lt;")
    ),
    lambda inner: st.tuples(
        st.sampled_from(["div", "p", "a", "b", "li", "ul", "td", "x-y", "h2", "section", "svg"]),
        st.sampled_from(["", " class='a\"b>c<d'", " hidden", ' ="', " id=comment-1 a=b"]),
        st.lists(inner, max_size=4),
    ).map(lambda node: f"<{node[0]}{node[1]}>{''.join(node[2])}</{node[0]}>"),
    max_leaves=30,
)


@given(st.lists(NODES, max_size=4).map("".join))
def test_the_kernel_reads_the_tree_that_the_parser_made(html: str) -> None:
    tree = HTMLTree.parse(html)
    elements, blocks, text, deepest = read_blocks(tree.body.html.encode(), HINT_TABLE)
    nodes = tree.body.get_elements_by_tag_name("*")
    assert len(elements) == len(nodes) + 1
    # Parents and ends, by an own walk over the tree.
    order: list[tuple[int, int]] = []
    depths = [0]

    def walk(node: Any, parent: int, depth: int) -> None:
        row = len(order)
        order.append((parent, 0))
        depths.append(depth)
        for child in node.child_nodes:
            if child.node_type == 1:
                walk(child, row, depth + 1)
        order[row] = (parent, len(order))

    walk(tree.body, -1, 1)
    assert elements[:, [PARENT, END]].tolist() == [list(pair) for pair in order]
    assert deepest == max(depths)
    assert len(blocks) == 0 or blocks[:, ELEMENT].max() < len(elements)
    assert (blocks[:, LAST] > blocks[:, FIRST]).all()
    text.tobytes().decode()


@settings(deadline=None)  # whoever comes first compiles the kernels
@given(st.binary(max_size=200))
def test_any_bytes(page: bytes) -> None:
    text, _ = blocks_text(page, OPTIONS)
    text.encode()
    read_blocks(page, HINT_TABLE)  # not what a parser writes, and yet it ends


def test_the_same_page_gives_the_same_text_again() -> None:
    html = f"<article>{paragraphs(ENGLISH)}</article>"
    assert len({extract(html) for _ in range(3)}) == 1


def test_chinese_news() -> None:
    html = f"""<title>会议在京举行_某新闻网</title><body><div class=top><a href=/>首页</a>
    <a href=/n>新闻</a></div><div class=wrap><div><h1>会议在京举行</h1>
    <div>来源：某报 发布时间：2026-01-02</div><div>{paragraphs(SENTENCES)}
    <p>（责任编辑：张三）</p></div><div><h3>相关阅读</h3><ul><li><a href=1>另一条新闻的标题</a></li>
    <li>又一条新闻，没有链接，但也不属于这篇文章的正文部分，它很长很长很长。</li></ul></div></div>
    <div>版权所有 某新闻网 未经授权不得转载，违者必究。ICP备00000000号</div></div></body>"""
    assert extract(html).split("\n") == SENTENCES


def test_headline_lead_subheadings_and_tail() -> None:
    lead = "The council met on Monday, for the first time this year, to talk about the budget."
    html = f"""<title>Council meets - The Paper</title><nav>Home, news, and sports, and so on.</nav>
    <article><header><h1>Council meets</h1><p class=byline>By A. Writer, staff, on Monday.</p>
    <p>{lead}</p></header><div class=body>{paragraphs(ENGLISH[:2])}<h2>The costs</h2>
    {paragraphs(ENGLISH[2:])}<p>A. Writer</p></div>
    <div class="share-bar"><p>Share this, please, with all of your friends and followers.</p></div>
    <h2>Related articles</h2><p>Another article, which is about another thing altogether.</p>
    </article><aside>{paragraphs(ENGLISH)}</aside>"""
    wanted = [lead, *ENGLISH[:2], "The costs", *ENGLISH[2:], "A. Writer"]
    assert extract(html).split("\n") == wanted


def test_comments_are_an_option() -> None:
    html = f"""<article>{paragraphs(ENGLISH)}<div id=comments><h3>Opinions</h3>
    <p>I do not agree with this article, and I will tell you why: it is wrong.</p></div>"""
    assert "I do not agree" not in extract(html)
    assert "I do not agree" in extract(html, comments=True)


def test_a_page_of_nothing_but_comments_is_a_forum() -> None:
    posts = "".join(f"<div class='comment reply'><div>{text}</div></div>" for text in ENGLISH)
    text = extract(f"<div class=nav><a href=/>Home</a></div><div class=comments>{posts}</div>")
    assert text.split("\n") == ENGLISH


def test_documentation_with_code_tables_and_lists() -> None:
    html = f"""<main><h1>Guide</h1>{paragraphs(ENGLISH[:2])}
    <pre><code>if x:\n    return y</code></pre><p>Nested:</p>
    <ul><li>outer, first<ul><li>inner</li></ul></li><li>outer, second</li></ul>
    <table><tr><th>key</th><th>value</th></tr><tr><td>a</td><td>1</td></tr></table>
    {paragraphs(ENGLISH[2:])}</main>"""
    assert extract(html).split("\n") == [
        *ENGLISH[:2], "if x:", "    return y", "Nested:", "outer, first", "inner",
        "outer, second", "key\tvalue", "a\t1", *ENGLISH[2:],
    ]  # fmt: skip


def test_table_layout_and_double_breaks() -> None:
    html = f"""<table width=100%><tr><td bgcolor=x><a href=1>One</a><br><a href=2>Two</a></td>
    <td>{"<br><br>　　".join(SENTENCES)}</td></tr></table>"""
    assert extract(html).split("\n") == SENTENCES


def test_cookie_banner_and_hidden_text() -> None:
    banner = "We use cookies, which store data on your device, to make this site work. " * 5
    html = f"""<div class="cookie-notice"><p>{banner}</p></div><div>
    <div hidden><p>{banner}</p></div>
    <div style="display:none"><p>{banner}</p></div>{paragraphs(ENGLISH)}</div>"""
    assert extract(html).split("\n") == ENGLISH


def test_names_that_wrap_the_page_do_no_harm() -> None:
    html = f"<body class='comments ad'><div class='has-sidebar menu'>{paragraphs(ENGLISH)}</div>"
    assert extract(html).split("\n") == ENGLISH


def test_short_empty_and_malformed_pages() -> None:
    assert extract("") == extract("<body></body>") == ""
    assert extract("<p>a few words") == "a few words"
    assert extract("<div><p>" + "</div><p>".join(ENGLISH)).split("\n") == ENGLISH


def test_a_huge_page_and_the_budgets() -> None:
    text = extract(paragraphs(ENGLISH * 4000))
    assert text.split("\n") == ENGLISH * 4000
    with pytest.raises(TooLarge, match="20003 elements, the limit is 20000"):
        extract(paragraphs(ENGLISH * 4000), max_nodes=20_000)
    with pytest.raises(TooLarge, match="deeper than 512"):
        extract("<div>" * 100_000 + "x")


def test_phrases() -> None:
    cases = {
        "© 2026 The Paper": NOTICE, "责任编辑：张三": NOTICE, "Advertisement": NOTICE,
        "Related articles": SECTION, "相关阅读": SECTION, "3 comments": SECTION,
        "You may also like:": SECTION, "下一篇：没有了": SECTION,
        "Share prices fell on Monday": 0, "More than this cannot be said": 0, "相关": 0,
        "The copyright belongs to the author, the court found": 0, "": 0,
    }  # fmt: skip
    html = "".join(f"<h2>{text}</h2>" for text in cases if text)
    elements, blocks, text, _ = read_blocks(HTMLTree.parse(html).body.html.encode(), HINT_TABLE)
    found, _ = phrases_in(blocks, elements, text, title="")
    assert found.tolist() == [kind for text, kind in cases.items() if text]
    assert phrases_in(blocks[:0], elements, text[:0], title="")[0].tolist() == []


def slow_phrases(blocks: list[str], weights: list[int], title: str) -> tuple[list[int], list[int]]:
    """The definition, in plain Python: each block is a heading without links."""
    kinds, repeats = [], []
    flat = "".join(title.split()).lower()
    for row, (text, weight) in enumerate(zip(blocks, weights, strict=True)):
        small = bytes(text, "utf-8").lower().decode()
        found = [limit for phrase, limit in boilerplate._NOTICES.items() if phrase in small]
        section = boilerplate._kind(text.lower()) if len(text.encode()) <= 180 else 0
        kinds.append(section or (NOTICE if any(weight <= limit for limit in found) else 0))
        size = len(flat.encode())
        if max(6, size / boilerplate.TITLE_SHARE) <= weight <= size:
            repeats += [row] if "".join(text.split()).lower() in flat else []
    return kinds, repeats


WORDS = st.sampled_from(
    [
        *("Related", "related", "ARTICLES", "相关", "阅读", "3", "(2)", "©", "Copyright (C)",
          "Alle", "rechte", "vorbehalten", "来源：", "责任编辑", "ICP备", "à", "Ähnliche", "lire",
          "aussi", "«", "ж", "\U0001f4f0", "广告", "Share", "share_it", "x",
          "第一", "é", "İ", "\u2028", "\x1c", "评论", "K"),
        "the council decided on Monday " * 14, "会议的情况，代表们讨论了工作计划。" * 4,
    ]
)  # fmt: skip
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from(["", " "])), min_size=1, max_size=6).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=5), TEXTS, st.data())
def test_the_gates_let_all_phrases_through(texts: list[str], title: str, data: Any) -> None:
    page = "".join(f"<h2>{text}</h2>" for text in texts)
    elements, blocks, text, _ = read_blocks(f"<body>{page}</body>".encode(), HINT_TABLE)
    read = [text[row[FIRST] : row[LAST]].tobytes().decode() for row in blocks]
    if read and data.draw(st.booleans()):
        title = data.draw(st.sampled_from(read)) + " | The Paper"
    found, repeats = phrases_in(blocks, elements, text, title=title)
    wanted = slow_phrases(read, blocks[:, WEIGHT].tolist(), title)
    assert (found.tolist(), repeats.tolist()) == wanted


def test_gold_marks_find_their_paragraphs() -> None:
    from bench.gold import half_of, marked, squeezed, visible_text

    rng = random.Random(7)
    texts = ["".join(rng.choice("天地玄黄宇宙洪荒") for _ in range(30)) for _ in range(6)]
    html = f"<script>{texts[0]}</script><p>{texts[0]}</p>x<p>{texts[1][:9]} {texts[1][9:]}"
    flat = visible_text(html)
    marks = [[text[:12], text[-12:], len(text)] for text in texts[:2]]
    assert marked(flat, marks, "page") == texts[:2]
    with pytest.raises(ValueError, match="no paragraph"):
        marked(flat, marks[::-1], "page")
    assert squeezed("\ufeffa\u3000 b\u200b") == "ab"
    halves = [half_of(str(number)) for number in range(400)]
    assert 150 < halves.count("dev") < 250


def test_shingles_of_the_benchmark() -> None:
    from bench.content_scores import score, shingle_summary
    from bench.gold import GoldPage

    page = GoldPage("n", "dev", b"", "a b c d e", ("b c",), ("x",))
    same, part = (score(page, text, characters=False) for text in ("a b c d e", "a b c d x y"))
    assert (same.precision, same.recall, same.f1) == (1.0, 1.0, 1.0)
    assert (part.precision, part.recall, part.f1) == (1 / 3, 1 / 2, 2 / 5)
    assert (part.kept, part.missed, part.leaked, part.clean) == (1, 0, 1, 0)
    summary = shingle_summary([same, part])
    assert summary["f1"] == pytest.approx(2 * (2 / 3) * (3 / 4) / (2 / 3 + 3 / 4))


FLOORS = {"articles": 0.97, "chinese": 0.98, "snippets": 0.91}


@pytest.mark.realdata
@pytest.mark.parametrize("which", FLOORS)
def test_f1_on_the_development_half(realdata: Any, which: str) -> None:
    from bench.content_scores import score, shingle_summary, snippet_summary
    from bench.gold import load

    pages = [page for page in load(which, realdata) if page.half == "dev"]
    assert len(pages) > 10
    scores = [
        score(page, blocks_text(page.html, OPTIONS)[0], characters=which == "chinese")
        for page in pages
    ]
    summary = snippet_summary(scores) if which == "snippets" else shingle_summary(scores)
    assert summary["f1"] >= FLOORS[which]
