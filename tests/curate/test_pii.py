"""Personal data: against regular expressions and validators, in prose, and where it is none."""

import ipaddress
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate import pii
from yanmo.curate.pii import ACTIONS, LABELS, TYPES, PiiOptions, mask, mask_part
from yanmo.curate.pii_rewrite import character_spans
from yanmo.curate.utf8 import text_buffer
from yanmo.documents import SCHEMA
from yanmo.errors import RecipeError
from yanmo.recipe import from_table, load, to_table

from . import slow_pii
from .duplicate_parts import document_table, write_parts

REPLACE = PiiOptions(action="replace")


def find(text: str) -> list[tuple[str, str]]:
    """What is found in a text: type and wording."""
    spans = mask(pa.array([text], pa.large_string()), REPLACE).spans.tolist()
    return [(TYPES[kind], text[start:end]) for _, start, end, kind in spans]


def resident_id(born: str, *, place: str = "110105", order: int = 2) -> str:
    """An ID whose check digit is right."""
    head = f"{place}{born}{order:03d}"
    return next(head + last for last in "0123456789X" if slow_pii.is_id(head + last))


def card(head: str) -> str:
    """A card number whose check digit is right."""
    return next(head + last for last in "0123456789" if slow_pii.is_card(head + last))


ONES = [
    ("email", "zhang.san+news@mail.example.com.cn"),
    ("email", "lisi_88＠example.cn"),
    ("ip", "101.37.225.58"),
    ("ip", "2408:8207:1850::5ac"),
    ("mobile", "13800138000"),
    ("mobile", "+86 138 0013 8000"),
    ("mobile", "86-13800138000"),
    ("mobile", "008613800138000"),
    ("mobile", "013800138000"),
    ("mobile", "１３８００１３８０００"),
    ("landline", "010-88886666"),
    ("landline", "（0571）88886666"),
    ("landline", "0571 8888666-803"),
    ("landline", "+86-21-62345678"),
    ("landline", "024-6795 6674"),
    ("id_card", "11010519491231002X"),
    ("id_card", "110105 19491231 002X"),
    ("id_card", resident_id("20000229", place="440305")),
    ("bank_card", card("622202123456789012")),
    ("bank_card", "4111 1111 1111 1111"),
    ("bank_card", card("622848123456789")),
    ("plate", "京A·12345"),
    ("plate", "粤BD12345"),
    ("plate", "沪C1234学"),
]


@pytest.mark.parametrize(("kind", "wording"), ONES)
@pytest.mark.parametrize(
    "prose", ["我的{}，谢谢😀。", "{}", "联系：{}/李四", "Call me at {} please", "（{}）\n𠮷野家"]
)
def test_found_whole_in_chinese_and_english(kind: str, wording: str, prose: str) -> None:
    assert find(prose.format(wording)) == [(kind, wording)]


CUES = [
    ("加微信：zhang_san88详谈", "wechat", "zhang_san88"),
    ("微信号 zhangsan 备注来意", "wechat", "zhangsan"),
    ("V信：13800138000", "wechat", "13800138000"),
    ("vx: abc-12345.", "wechat", "abc-12345"),
    ("WeChat ID".replace(" ID", "：") + "wxid_9a8b7c", "wechat", "wxid_9a8b7c"),
    ("QQ:12345678", "qq", "12345678"),
    ("扣扣号码是１２３４５", "qq", "１２３４５"),
    ("qq12345678901", "qq", "12345678901"),
]


@pytest.mark.parametrize(("text", "kind", "account"), CUES)
def test_accounts_only_after_a_cue(text: str, kind: str, account: str) -> None:
    assert find(text) == [(kind, account)]
    assert find(f"编号 {account} 的商品") in ([], [("mobile", account)])


ANNOUNCED = [
    ("WeChat ID: yunfei", "wechat", "yunfei"),
    ("vx qinghe10102 记得备注", "wechat", "qinghe10102"),
    ("加微信wxid_abcdef", "wechat", "wxid_abcdef"),
    ("QQ客服：547915", "qq", "547915"),
    ("微信客服：qinghe-li", "wechat", "qinghe-li"),
    ("举报电话079152702139。", "landline", "079152702139"),
    ("Tel: 01062345678", "landline", "01062345678"),
    ("登录IP101.37.225.58", "ip", "101.37.225.58"),
]


@pytest.mark.parametrize(("text", "kind", "value"), ANNOUNCED)
def test_found_because_of_what_stands_before(text: str, kind: str, value: str) -> None:
    assert find(text) == [(kind, value)]
    assert find(f"编号 {value}。") == ([(kind, value)] if kind == "ip" else [])


NOTHING = [
    "微信客服95017，微信 Windows11，WeChat ID3 tags，成交额 13800138000 元，13800138000 % 7。",
    "版本号：4.1.15.6，版本号 101.37.225.58，VIP101.37.225.58，编号02167956674，电话00167956674。",
    "书号 ISBN 978-7-302-51234-1，ISBN 7302512341，ISSN 0253-4177 2023。",
    "2023-11-26 10:20:30，20231126，2023年11月26日，第 3.2.1.4 节。",
    "售价￥13800138000，¥13912345678，$13800138000，13800138000元，13800138000万，增长13800138000%。",
    "圆周率 3.13800138000，订单 20231126-13800138000-01，流水 013800138000123，A13800138000。",
    "版本 1.20.33.44，v1.20.33.44，version: 101.37.225.58，Chrome/120.0.6099.71，1.2.3.4。",
    "内网 192.168.1.10，10.0.0.12，127.0.0.1，172.16.31.40，169.254.1.2，224.0.0.51，0.12.13.4。",
    "256.37.225.58，101.37.225.058，101.37.225.58.9，2001:db8::15，fe80::1234:5678，12:30:45。",
    "https://shop.example.cn/u/13800138000?mail=a@b.cn&q=11010519491231002X",
    "www.example.cn/13800138000.html，item/13800138000，img/13800138000.jpg，icon@2x.png。",
    "Version = 14.0.0.3，14.0.0.0，129.134.30.0/23，git@github.com:li/si.git，li@a.cn:/home。",
    "哈希 d41d8cd98f00b204e9800998ecf8427e，550e8400-e29b-41d4-a716-446655440000。",
    "身份证 110105194912310021，990105194912310028，110105194902300026，11010519491231002XY。",
    "卡号 6222021234567890120，4111111111111112，9111111111111111。",
    "电话 12800138000，1380013800，138001380001，138-00138-000，400-800-8888。",
    "微信支付，微信公众号：研墨斋，WeChat: Tencent Holdings，微信 iPhone15，QQ音乐2023，QQ1234。",
    "最新A级，云B站，京A12I45，粤B123，std::vector，a:b@c，@某某，1@2。",
    "１３８００１３８０００１，1３８00138000９，9１３８００１３８０００。",
]


@pytest.mark.parametrize("text", NOTHING)
def test_left_alone(text: str) -> None:
    assert find(text) == []


def test_public_addresses_are_those_of_the_library() -> None:
    chance = random.Random(4)
    edges = ["100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.10", "172.15.255.255",
             "172.32.0.10", "198.17.255.255", "198.18.0.0", "198.20.0.10", "192.0.3.10",
             "198.51.101.0", "203.0.112.255", "203.0.113.0", "223.255.255.255"]  # fmt: skip
    some = [str(ipaddress.ip_address(chance.getrandbits(32))) for _ in range(2000)]
    wrong = [a for a in (*edges, *some) if bool(find(f"来自 {a} 的")) != slow_pii.is_public(a)]
    assert wrong == []
    assert 1200 < sum(map(slow_pii.is_public, some)) < 2000


def test_every_single_wrong_digit_of_an_id_is_noticed() -> None:
    good = "11010519491231002X"
    bad = [good[:k] + d + good[k + 1 :] for k in range(17) for d in "0123456789" if d != good[k]]
    assert find(good) == [("id_card", good)]
    assert [text for text in bad if find(text)] == []


PIECES = st.one_of(
    st.sampled_from([wording for _, wording in ONES]),
    st.sampled_from(
        [
            "QQ",
            "微信",
            "微信号",
            "vx",
            "V信",
            "扣扣",
            "+86",
            "0086",
            "86-",
            "京A",
            "版本",
            "https://a.cn/",
            "www.",
            ".html",
            "元",
            "a@b.cn",
            "zhangsan",
            "wxid_ab12",
            "电话：",
            "Tel.",
            "021-6795 6674",
            "02167956674",
            "013800138000",
            "0571679566",
            "IP",
            "101.37.225.58",
            "WeChat",
            "ID",
            "客服",
            " 亿",
        ]
    ),
    st.text(st.sampled_from("0123456789０１ -./:+@()（）号：=_%￥Xab研😀\n"), max_size=6),
)
TEXT = st.lists(PIECES, max_size=6).map("".join)


@settings(max_examples=400, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=4))
def test_finds_what_the_definitions_find(texts: list[str]) -> None:
    found: list[list[slow_pii.Found]] = [[] for _ in texts]
    buffer, offsets = text_buffer(pa.array(texts, pa.large_string()))
    spans = character_spans(buffer, offsets, pii.find(buffer, offsets))
    for row, start, end, kind in spans.tolist():
        found[row].append((TYPES[kind], start, end))
    assert found == [slow_pii.find(text) for text in texts]


@settings(max_examples=150, deadline=None)
@given(before=st.text("0123456789", min_size=1), after=st.text("0123456789"),
       number=st.sampled_from([w for k, w in ONES if k in ("mobile", "id_card", "bank_card")]),
       wide=st.booleans())  # fmt: skip
def test_nothing_in_a_longer_run_of_digits(
    before: str, after: str, number: str, wide: bool
) -> None:
    text = before + number.replace(" ", "").removeprefix("+").removesuffix("X") + after
    if wide:
        text = "".join(chr(ord(c) + 0xFEE0) for c in text if "0" <= c <= "9")
    spans = find(f"编号{text}。")
    # The run may by chance be a number as a whole, but no part of it is ever taken for one.
    assert spans in ([], [(spans[0][0] if spans else "", text)])


OPTIONS = st.builds(PiiOptions, action=st.sampled_from(ACTIONS),
                    **{name: st.sampled_from(("action", *ACTIONS)) for name in TYPES},
                    salt=st.sampled_from((None, "盐")))  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(texts=st.lists(TEXT, max_size=4), options=OPTIONS)
def test_once_is_enough_and_the_ledger_balances(texts: list[str], options: PiiOptions) -> None:
    once = mask(pa.array(texts, pa.large_string()), options)
    once.edits.check("here")
    result = once.text.to_pylist()
    assert once.n_chars.tolist() == [len(text) for text in result]
    assert (once.edits.chars_in, once.edits.chars_out) == (
        sum(map(len, texts)),
        sum(map(len, result)),
    )
    again = mask(once.text, options)
    assert again.text.equals(once.text)
    assert len(again.spans) == 0
    # Outside of the spans nothing changes, and inside nothing stays.
    for row, text in enumerate(texts):
        spans = [s for s in once.spans.tolist() if s[0] == row]
        if all(ACTIONS[options.actions()[kind]] == "replace" for *_, kind in spans):
            want, at = "", 0
            for _, start, end, kind in spans:
                want, at = want + text[at:start] + LABELS[kind], end
            assert result[row] == want + text[at:]
    if options.salt is None:
        assert set(once.hashes) <= {None}


def test_three_ways_to_rewrite() -> None:
    text = pa.array(["李四：138-0013-8000，京A·12345", "", "（0571）88886666😀"], pa.large_string())
    want = {
        "off": text.to_pylist(),
        "mask": ["李四：***-****-****，**·*****", "", "（****）********😀"],
        "replace": ["李四：[MOBILE]，[PLATE]", "", "[LANDLINE]😀"],
        "drop": ["李四：，", "", "😀"],
    }
    for action, texts in want.items():
        masked = mask(text, PiiOptions(action=action))
        assert masked.text.to_pylist() == texts
        spans = [] if action == "off" else [[0, 3, 16, 2], [0, 17, 25, 6], [2, 0, 14, 3]]
        assert masked.spans.tolist() == spans
    counts = mask(text, PiiOptions(action="mask", plate="drop")).edits.by_rule()
    assert counts["pii_mobile"] == {"removed": 11, "added": 11}
    assert counts["pii_plate"] == {"removed": 8, "added": 0}
    sliced = mask(text.slice(2), PiiOptions(action="drop"))
    assert (sliced.text.to_pylist(), sliced.spans.tolist()) == (["😀"], [[0, 0, 14, 3]])


def test_what_dropping_brings_together_is_found_where_it_was() -> None:
    text = "墨😀QQ：a@b.cn12345678，QQ：a@b.cn 12345678"
    masked = mask(pa.array(["前", text], pa.large_string()), PiiOptions(action="drop"))
    assert masked.text.to_pylist() == ["前", "墨😀QQ：a@b.cn12345678，QQ： "]
    spans = [(TYPES[kind], text[start:end]) for _, start, end, kind in masked.spans.tolist()]
    assert spans == [("email", "a@b.cn"), ("qq", "12345678")]


def test_what_is_found_frees_what_stands_beside_it() -> None:
    texts = [
        "li@a.cn/13800138000",
        "京A12345-13800138000",
        "li@a.cn１３８００１３８０００",
        "墨",
        "粤B12345+li@a.cn",
    ]
    masked = mask(pa.array(texts, pa.large_string()), REPLACE)
    assert masked.text.to_pylist() == [
        "[EMAIL]/[MOBILE]", "[PLATE]-[MOBILE]", "[EMAIL][MOBILE]", "墨", "[PLATE]+[EMAIL]",
    ]  # fmt: skip
    spans = [texts[row][start:end] for row, start, end, _ in masked.spans.tolist()]
    assert spans == [
        "li@a.cn", "13800138000", "京A12345", "13800138000", "li@a.cn", "１３８００１３８０００",
        "粤B12345", "li@a.cn",
    ]  # fmt: skip


def test_hashes_say_who_is_the_same_and_not_who_it_is() -> None:
    texts = [
        "+86 138-0013-8000",
        "13800138000",
        "１３８００１３８０００",
        "13800138001",
        "QQ13800138000",
    ]
    column = pa.array(texts, pa.large_string())
    hashes = mask(column, PiiOptions(action="mask", salt="盐")).hashes
    assert len(hashes) == 5
    assert len(set(hashes[:3])) == 1
    assert len(set(hashes)) == 3
    other = mask(column, PiiOptions(action="mask", salt="other")).hashes
    assert set(hashes).isdisjoint(other)


def test_a_part(tmp_path: Path) -> None:
    texts = [f"第{n}篇，电话1380013{n:04d}。" if n % 3 else f"第{n}篇，没有。" for n in range(2500)]
    table = document_table(texts, [f"d{n:05d}" for n in range(2500)])
    part = write_parts(tmp_path, [table])[0]
    (tmp_path / "out").mkdir()
    parameters: dict[str, Any] = {"pii": to_table(PiiOptions(action="replace", salt="盐"))}
    result = mask_part([part], parameters, tmp_path / "out")
    assert (result["rows"], result["documents"], result["found"]["mobile"]) == (2500, 1666, 1666)
    documents = pq.read_table(tmp_path / "out" / "documents.parquet")
    assert documents.schema.equals(SCHEMA)
    want = [t.replace(f"1380013{n:04d}", "[MOBILE]") for n, t in enumerate(texts)]
    assert documents["text"].to_pylist() == want
    assert documents["n_chars"].to_pylist() == [len(t) for t in want]
    assert documents["n_bytes"].to_pylist() == [len(t.encode()) for t in want]
    assert documents["id"].equals(table["id"])
    spans = pq.read_table(tmp_path / "out" / "pii.parquet")
    assert spans.column_names == ["id", "type", "start", "end", "hash"]
    for row in spans.slice(0, 20).to_pylist():
        number = int(row["id"][1:])
        assert texts[number][row["start"] : row["end"]] == f"1380013{number:04d}"
    assert "1380013" not in str(spans.to_pylist())
    assert result["edits"]["pii_mobile"] == {"removed": 11 * 1666, "added": 8 * 1666}


def test_options() -> None:
    assert not PiiOptions().is_on
    assert PiiOptions(qq="mask").is_on
    assert not PiiOptions(action="off", qq="action").is_on
    assert load(PiiOptions, None, ["action=mask", "ip=off"]).actions().tolist().count(0) == 1
    with pytest.raises(RecipeError, match="'email' is none of the choices"):
        from_table(PiiOptions, {"email": "hide"}, where="pii")
