"""Verdicts: the rules one by one, the routes, and texts that must and must not pass."""

import json
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.curate.decide import RULES, VERDICTS, decide, decide_part, signal_columns
from yanmo.curate.measure import measure, schema
from yanmo.curate.signals import EXTRA, SIGNALS
from yanmo.curate.thresholds import (
    CharacterThresholds,
    ChineseThresholds,
    EnglishThresholds,
    MixedThresholds,
    Rules,
    Thresholds,
)
from yanmo.documents import write_part
from yanmo.files import open_input
from yanmo.recipe import to_table

OFF = {field.name: None for field in fields(Thresholds)}
ALL_OFF = Rules(
    zh=ChineseThresholds(**OFF),
    en=EnglishThresholds(**OFF),
    ja=CharacterThresholds(**OFF),
    mixed=MixedThresholds(**OFF),
    default=Thresholds(**OFF),
)


def signals_of(
    texts: list[str], lang: str | None = "zh", script: str | None = "Hans"
) -> pa.RecordBatch:
    n = len(texts)
    columns = [
        pa.array([f"{i:024x}" for i in range(n)]),
        pa.array([lang] * n, pa.string()),
        pa.array([0.9] * n),
        pa.array([script] * n, pa.string()),
        *map(pa.array, measure(pa.array(texts, pa.large_string())).values()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema())


def made_up(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """A signal table with the given values and zero elsewhere."""
    blank: dict[str, Any] = {s.name: 0 if s.kind == "count" else 0.0 for s in (*SIGNALS, *EXTRA)}
    blank |= {
        "lang": "zh",
        "lang_score": None,
        "script": None,
        "text_hash_hi": 0,
        "text_hash_lo": 0,
    }
    full = [blank | {"id": str(i)} | row for i, row in enumerate(rows)]
    added = [(signal.name, pa.float64()) for signal in EXTRA]
    return pa.RecordBatch.from_pylist(full, schema=pa.schema([*schema(), *added]))


def with_zh(**thresholds: Any) -> Rules:
    return replace(ALL_OFF, zh=replace(ALL_OFF.zh, **thresholds))


# ------------------------------------------------------------------ the comparison


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_keeps_its_own_threshold_and_drops_beyond(rule: Any) -> None:
    threshold = 1
    step = -1 if rule.at_least else 1
    table = made_up([{rule.signal: threshold + k * step} for k in (-1, 0, 1)])
    got = decide(table, with_zh(**{rule.name: threshold}))
    assert got["kept"].to_pylist() == [True, True, False]
    assert got["rule"].to_pylist() == [None, None, rule.name]
    assert got["value"].to_pylist() == [None, None, threshold + step]
    assert got["threshold"].to_pylist() == [None, None, threshold]
    assert got["failed"].to_pylist() == [[], [], [rule.name]]


def test_off_is_not_zero() -> None:
    table = made_up([{"n_lorem_ipsum": 1}, {"n_lorem_ipsum": 0}])
    assert decide(table, with_zh(max_lorem_ipsum=0))["kept"].to_pylist() == [False, True]
    assert decide(table, with_zh(max_lorem_ipsum=None))["kept"].to_pylist() == [True, True]
    assert decide(table, with_zh(min_words=0))["kept"].to_pylist() == [True, True]


def test_an_unknown_language_score_passes() -> None:
    table = made_up([{"lang_score": None}, {"lang_score": 0.2}, {"lang_score": 0.4}])
    got = decide(table, with_zh(min_lang_score=0.4))
    assert got["rule"].to_pylist() == [None, "min_lang_score", None]


def test_the_first_rule_in_order_is_the_verdict_and_all_are_listed() -> None:
    table = made_up([{"n_chars": 5, "n_words": 3, "n_lorem_ipsum": 2}])
    rules = with_zh(max_lorem_ipsum=0, min_words=4, min_chars=6)
    got = decide(table, rules).to_pylist()[0]
    assert (got["rule"], got["value"], got["threshold"]) == ("min_chars", 5, 6)
    assert got["failed"] == ["min_chars", "min_words", "max_lorem_ipsum"]


def slow_verdict(row: dict[str, Any], thresholds: Thresholds) -> list[str]:
    failed = []
    for rule in RULES:
        limit, value = getattr(thresholds, rule.name), row[rule.signal]
        if limit is None or value is None:
            continue
        if value < limit if rule.name.startswith("min_") else value > limit:
            failed.append(rule.name)
    return failed


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_signals_are_judged_as_rule_by_rule(data: st.DataObject) -> None:
    names = {s.name: s.kind for s in SIGNALS}
    value = {"count": st.integers(0, 120), "ratio": st.floats(0, 1)}
    chosen = st.fixed_dictionaries(
        {}, optional={name: value[kind] for name, kind in names.items() if name.endswith("n")}
    )
    rows = data.draw(st.lists(chosen, min_size=1, max_size=5))
    table = made_up([{"lang": "fr", **row} for row in rows])
    got = decide(table, Rules())
    for row, verdict in zip(table.to_pylist(), got.to_pylist(), strict=True):
        failed = slow_verdict(row, Thresholds())
        assert verdict["failed"] == failed
        assert verdict["rule"] == (failed[0] if failed else None)
        assert verdict["kept"] == (not failed)


# ------------------------------------------------------------------ routes


@pytest.mark.parametrize(
    ("lang", "script", "latin", "route"),
    [
        ("zh", "Hans", 0.2, "zh"),
        ("zh", "Hant", 0.2, "zh"),
        ("yue", "Hant", 0.2, "zh"),
        ("zh", "mixed", 0.2, "mixed"),
        ("zh", "Hans", 0.6, "mixed"),
        ("en", "Latn", 0.9, "en"),
        ("en", "mixed", 0.9, "en"),
        ("ja", "Jpan", 0.1, "ja"),
        ("de", "Latn", 0.9, "default"),
        (None, "Hans", 0.2, "zh"),
        (None, "Latn", 0.9, "default"),
        (None, None, 0.1, "default"),
        ("zh", None, 0.5, "zh"),
    ],
)
def test_routes(lang: str | None, script: str | None, latin: float, route: str) -> None:
    row: dict[str, Any] = {
        "lang": lang,
        "script": script,
        "latin_fraction": latin,
        "hanzi_fraction": 0.5,
    }
    assert decide(made_up([row]), ALL_OFF)["route"].to_pylist() == [route]


def test_unwanted_languages_are_dropped_first() -> None:
    rules = replace(with_zh(min_words=50), languages=("en",))
    rows: list[dict[str, Any]] = [{"lang": "zh"}, {"lang": "en"}, {"lang": None}]
    got = decide(made_up(rows), rules)
    assert got["rule"].to_pylist() == ["languages", None, "languages"]
    assert got["failed"].to_pylist() == [["languages", "min_words"], [], ["languages"]]
    assert got["value"].null_count == 3


# ------------------------------------------------------------------ texts

GOOD_ZH = [
    "清晨的雾还没有散，河边已经有人在钓鱼了。老周把凳子放在柳树下面，慢慢地点上一支烟，看着浮漂一动不动。\n"
    "“今天的水比昨天浅。”他说，“上游大概又放闸了。”\n"
    "我没有回答，只是看着水面上一圈一圈的波纹，想起小时候父亲带我来这里的情形。那时的河要宽得多，鱼也多。",
    "本办法所称小额贷款公司，是指在本市行政区域内依法设立，不吸收公众存款，经营小额贷款业务的有限责任公司；\n"
    "（一）有符合规定的章程；\n（二）有具备任职专业知识的董事和高级管理人员；\n"
    "（三）有健全的组织机构和管理制度。",
    "昨日下午三点，市氣象局發布大風藍色預警：受冷空氣影響，預計今天夜間到明天白天，本市將出現五級左右偏北風，"
    "陣風可達七級。\n氣象專家提醒市民，外出時請注意保暖，並遠離廣告牌和臨時搭建物。",
    "春天来了。小草从土里探出头来，嫩嫩的，绿绿的。孩子们在草地上跑来跑去，笑声传得很远很远。奶奶坐在门口择菜，"
    "一边择，一边给我们讲从前的事。她说她小的时候，春天最盼望的就是上山挖野菜。",
]
GOOD_MIXED = (
    "# 安装\n\n在 Debian 系统上，先更新软件包列表，再安装 Python 3.11：\n\n"
    "```\nsudo apt-get update\nsudo apt-get install python3.11 python3.11-venv\n"
    "python3.11 -m venv .venv\nsource .venv/bin/activate\n```\n\n"
    "如果出现 `Permission denied`，请检查当前用户是否在 sudo 用户组里。然后运行：\n\n"
    "```\npip install --upgrade pip\npip install numpy pandas requests\n```\n"
)
GOOD_EN = (
    "The first train of the morning was late again, and nobody on the platform seemed surprised. "
    "It was cold enough that breath hung in the air, and the station cat had moved inside to the "
    "warm end of the ticket office.\n"
    '"It\'s the frost," said the man with the dog, who seemed to know. "They can\'t run with '
    'frost on the rails." I bought a coffee and waited, because there was nothing else to be done.'
)


@pytest.mark.parametrize("text", GOOD_ZH)
def test_good_chinese_prose_is_kept(text: str) -> None:
    script = "Hant" if "氣" in text else "Hans"
    assert decide(signals_of([text], "zh", script), Rules())["failed"].to_pylist() == [[]]
    crlf_free = text.replace("\n", "\n\n")
    assert decide(signals_of([crlf_free]), Rules())["failed"].to_pylist() == [[]]


def test_good_manuals_and_english_are_kept() -> None:
    assert decide(signals_of([GOOD_MIXED]), Rules())["failed"].to_pylist() == [[]]
    english = decide(signals_of([GOOD_EN], "en", "Latn"), Rules())
    assert english["failed"].to_pylist() == [[]]
    assert english["route"].to_pylist() == ["en"]


BAD_ZH = {
    "min_words": "首页 / 图片 / 正文",
    "max_mojibake_fraction": "锟斤拷锟斤拷锟斤拷的新闻，" * 2 + GOOD_ZH[0][:60],
    "max_digit_fraction": "".join(f"{1980 + i}年{i * 37 % 101}.{i}元，" for i in range(30)),
    "max_ellipsis_line_fraction": "".join(f"{line[:40]}...\n" for line in GOOD_ZH),
    "max_read_more_line_fraction": "".join(f"{line[:40]}……阅读更多\n" for line in GOOD_ZH),
    "max_bullet_line_fraction": "".join(f"• {line[:30]}。\n" for line in GOOD_ZH),
    "max_bracketed_fraction": "【爆款热卖】今日特价，【满减优惠】限时抢购。" * 3 + GOOD_ZH[3],
    "min_stop_words_zh": "苏泊尔电饭煲，容量四升，铝合金内胆，额定电压二百二十伏。" * 2
    + "预约煮饭功能！",
    "min_terminal_punctuation_line_fraction": "\n".join(
        f"{city}电子地图，{city}公交线路的查询与下载" for city in ["北京", "上海", "天津", "重庆"]
    ),
    "max_newlines_per_word": "\n".join(f"第{n}，\n\n\n的在。" for n in "一二三四五六七八九十" * 2),
    "max_duplicate_line_char_fraction": "\n".join([*GOOD_ZH, GOOD_ZH[0], GOOD_ZH[3]]),
    "max_top_2_gram_char_fraction": "装修" * 40 + "，" + GOOD_ZH[3],
    "max_repeated_13_gram_fraction": (GOOD_ZH[3][:70] + "，转载。") * 5,
    "max_duplicate_10_gram_char_fraction": (GOOD_ZH[3][:70] + "，转载。") * 5,
    "min_char_entropy": "的是的。是的，的的。" * 12,
    "min_sentences": GOOD_ZH[3].replace("。", "，")[:-1],
    "min_mean_line_chars": "，\n".join(
        ["今天", "的天气", "在变", "好了", "大家", "出门", "去玩", "看花", "很多", "人啊"] * 3
    ),
    "max_lorem_ipsum": GOOD_ZH[0] + "Lorem ipsum dolor sit amet.",
    "max_hashes_per_word": "#美食 #旅行 #生活 " * 12 + "今天的我在公园里。",
    "max_ellipses_per_word": "嗯…… 啊…… 是的…… 在…… 人…… " * 9,
    "min_punctuation": "这是一段没有任何标点符号的文字 " * 4
    + "\n"
    + "它的每一行都很长也没有停顿" * 3,
    "min_hanzi_fraction": "★☆★☆★☆★☆的在是有人中" * 9 + "。" * 60,
}


@pytest.mark.parametrize("rule", sorted(BAD_ZH))
def test_bad_chinese_pages_fail_the_rule_made_for_them(rule: str) -> None:
    got = decide(signals_of([BAD_ZH[rule]]), Rules()).to_pylist()[0]
    assert rule in got["failed"]
    assert not got["kept"]


def test_chinese_full_stops_end_lines_and_sentences() -> None:
    """Filters that know only ASCII punctuation drop every Chinese line."""
    lines = "\n".join(["这一行以句号结尾。", "这一行以叹号结尾！", "这一行以引号结尾。”"])
    got = signals_of([lines])
    assert got["terminal_punctuation_line_fraction"].to_pylist() == [1.0]
    assert got["n_sentences"].to_pylist() == [3]
    assert got["n_words"].to_pylist() == [24]


# ------------------------------------------------------------------ the task


def test_the_task_reads_no_text_and_counts_what_it_drops(tmp_path: Path) -> None:
    texts = [*GOOD_ZH, *BAD_ZH.values()] * 400
    table = pa.Table.from_batches([signals_of(texts)])
    write_part(tmp_path / "signals.parquet", table.select(signal_columns()))
    (tmp_path / "out").mkdir()
    rules = with_zh(min_words=50, max_digit_fraction=0.3)
    result = decide_part(
        [tmp_path / "signals.parquet"], {"rules": to_table(rules)}, tmp_path / "out"
    )
    json.dumps(result)
    verdicts = pq.read_table(tmp_path / "out" / "verdicts.parquet")
    assert verdicts.schema.equals(VERDICTS)
    assert verdicts["id"].to_pylist() == table["id"].to_pylist()
    assert verdicts.equals(pa.Table.from_batches([decide(signals_of(texts), rules)]))
    assert result["rows"] == len(texts)
    assert result["kept"] + sum(result["dropped"].values()) == result["rows"]
    assert set(result["dropped"]) == {"min_words", "max_digit_fraction"}
    assert result["failed"]["min_words"] == result["dropped"]["min_words"] > 0
    words, digits = (table[name].to_numpy() for name in ("n_words", "digit_fraction"))
    assert result["failed"]["max_digit_fraction"] == int(np.sum(digits > 0.3))
    assert result["dropped"]["min_words"] == int(np.sum(words < 50))


def test_an_empty_part(tmp_path: Path) -> None:
    write_part(tmp_path / "signals.parquet", schema().empty_table())
    (tmp_path / "out").mkdir()
    result = decide_part([tmp_path / "signals.parquet"], {}, tmp_path / "out")
    assert result == {"rows": 0, "kept": 0, "dropped": {}, "failed": {}}


# ------------------------------------------------------------------ real texts


def real_texts(realdata: Path, name: str, limit: int) -> list[str]:
    with open_input(realdata / "text" / f"{name}.jsonl.zst") as stream:
        return [json.loads(line)["text"] for line in islice(stream, limit)]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("zh-laws_lawrefbook", 0.02),
        ("zh-classical-modern", 0.02),
        ("zh-lctt", 0.05),
        ("zh-ruanyf-weekly", 0.02),
    ],
)
def test_good_chinese_sources_are_kept(realdata: Path, name: str, most: float) -> None:
    verdicts = decide(signals_of(real_texts(realdata, name, 200)), Rules())
    assert np.mean(~verdicts["kept"].to_numpy(zero_copy_only=False)) <= most


@pytest.mark.realdata
def test_templated_lists_are_dropped(realdata: Path) -> None:
    verdicts = decide(signals_of(real_texts(realdata, "zh-zhihu-hot", 60)), Rules())
    assert np.mean(verdicts["kept"].to_numpy(zero_copy_only=False)) <= 0.05


def test_code_may_repeat_its_lines_in_a_chinese_manual() -> None:
    """Brackets and calls repeat in code; a page that is one block over and over still goes."""
    note = "第{0}步：调用下面的函数，并检查它在第{0}组数据上的返回值是否正确。"
    code = (
        "```\nwith open(path) as stream:\n    value{0} = handle{0}(stream)\n    print(value)\n```"
    )
    manual = "\n".join(f"{note}\n{code}".format(step) for step in range(12))
    block = "\n".join(f"{note}\n{code}".format(1) for _ in range(12))
    table = signals_of([manual, block], script="mixed")
    assert table["duplicate_line_char_fraction"][0].as_py() > 0.2
    verdicts = decide(table, Rules()).to_pylist()
    assert verdicts[0]["kept"], verdicts[0]
    assert not verdicts[1]["kept"]
