"""Rules of ``yanmo curate instruct clean``: what each finds, mends and lets through; ledgers."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.command import command, said, usage_error
from yanmo.curate.instruct_clean import Cleaner
from yanmo.curate.instruct_ledger import Tally
from yanmo.curate.instruct_recipe import ABOUT, CleanRecipe, commented
from yanmo.messages import read_objects
from yanmo.recipe import from_table, load

LONG = (
    "第一句话说明了原因。第二句话说明了经过，也说明了结果。"
    "第三句话把前面两句的意思合在一起，做了一个不长不短的总结。"
)

PLAN = "慢跑三十分钟然后拉伸十分钟，再走路回家洗澡并且早一点上床睡觉。"


def pair(question: str, answer: str, **fields: Any) -> dict[str, Any]:
    return {"instruction": question, "input": "", "output": answer, **fields}


def talk(*texts: str) -> dict[str, Any]:
    speakers = ("human", "gpt") * len(texts)
    turns = zip(speakers, texts, strict=False)
    return {"conversations": [{"from": name, "value": text} for name, text in turns]}


class Cleaned:
    def __init__(self, tmp_path: Path, records: list[Any], *arguments: str) -> None:
        source, self.out = tmp_path / "in.jsonl", tmp_path / "out"
        source.write_text("\n".join(json.dumps(record) for record in records))
        self.ended = command("curate", "instruct", "clean", source, "--out", self.out, "--json",
                             *arguments)  # fmt: skip
        assert self.ended.code == 0, self.ended.err
        self.told = self.ended.json()

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [record for _, record in read_objects(self.out / f"{name}.jsonl")]

    def reasons(self) -> list[tuple[int, str]]:
        return [(int(row["where"].split("#")[1]), row["rule"]) for row in self.rows("dropped")]


DROPPED = {
    "empty": [pair("写一首诗", " \n"), pair("列出颜色", "<nooutput>"), pair("给出一个词", "N/A")],
    "too_short": [pair("诗", "床前明月光，疑是地上霜。")],
    "lost_characters": [pair("介绍北京", "中国的首\ufffd。"), pair("介绍北京", "锟斤拷是首都。")],
    "truncated": [
        pair("介绍爵士乐", "爵士乐起源于新奥尔良，常用的乐器有萨克斯、小号、"),
        pair("写一段介绍", "下面是这种方法的几个主要步骤，一共有三步："),
        pair("Print a table", "Here it is:\n```\n1 | 2"),
        pair("介绍鲁迅", "鲁迅是作家，他写了很多小说，包括《狂人日记"),
        pair("介绍鲁迅", "鲁迅是作家。", finish_reason="length"),
    ],
    "refusal": [
        pair("今天天气怎么样", "很抱歉，我无法获取实时的天气信息。"),
        pair("查一下股价", "我无法提供实时股价。"),
        pair("What is the weather?", "I'm sorry, but I cannot access real-time data."),
        pair("Draw a cat", "As an AI language model, I can't draw pictures."),
    ],
    "asks_for_input": [
        pair("总结这篇文章。", "您没有提供文章，请发给我。"),
        pair("改正句子。", "请提供需要改正的句子。"),
        pair("Summarize the article.", "Please provide the article you want summarized."),
    ],
    "identity": [
        pair("你是谁", "我是ChatGPT，很高兴认识你。"),
        pair("讲讲你的童年", "作为一个人工智能语言模型，我没有童年。"),
        pair("Do you sleep?", "Well, as an AI language model I never sleep."),
        pair("你好", "你好！我是由OpenAI训练的助手。"),
    ],
    "role_leak": [
        pair("写一个句子", "今天天气很好。\n### Instruction: 翻译"),
        pair("写一个句子", "今天天气很好。<|im_end|>\n<|im_start|>user"),
        pair("写一个句子", "今天天气很好。\nHuman: 谢谢"),
        pair("写一个句子", "今天天气很好。\n11. 指令：写一首诗"),
    ],
    "prompt_echo": [
        pair("把下面的句子改成被动句。", "把下面的句子改成被动句。"),
        pair("为什么天空看上去是蓝色的？", "为什么天空看上去是蓝色的？\n因为散射。"),
    ],
    "repetition": [
        pair("讲个故事", "从前有座山，" + "山里有座庙，" * 20),
        pair("讲个故事", "从前有座山，山上有一个老和尚在讲故事，他讲到最后只会说" + "啊" * 50),
    ],
    "url_only": [{"instruction": "总结这篇文章", "input": "https://a.example/b", "output": "好。"}],
    "contact": [
        pair("怎么治咳嗽", "多喝水。详情加微信：doctor12345 咨询。"),
        pair("怎么治咳嗽", "咨询热线：400-123-4567。"),
    ],
    "language": [pair(
        "请详细说明太阳能发电的工作原理和优点",
        "Solar panels turn the light of the sun into power and this is how it works for you.")],
}  # fmt: skip


@pytest.mark.parametrize("rule", DROPPED)
def test_what_a_rule_drops(rule: str, tmp_path: Path) -> None:
    records = DROPPED[rule]
    cleaned = Cleaned(tmp_path, records, "--set", "twins.near=off",
                      "--set", "personal_data.action=report", "--set",
                      "length.min_user_chars=2")  # fmt: skip
    hit = {int(row["where"].split("#")[1]) for row in cleaned.rows("findings")
           if row["rule"] == rule}  # fmt: skip
    assert hit == set(range(len(records)))
    assert cleaned.rows("kept") == []
    for row in cleaned.rows("dropped"):
        assert row["record"] == records[int(row["where"].split("#")[1])]
        spans = [r for r in row["reasons"] if r["rule"] == rule]
        assert all(0 <= r["start"] <= r["end"] for r in spans)


KEPT = [
    pair("判断对错：地球是圆的", "对"),
    pair("ChatGPT是谁开发的？", "ChatGPT是OpenAI开发的聊天程序。"),
    pair("写一段客服和顾客的对话", "客服：您好。\n顾客：我要退货。\nHuman: ok"),
    pair("把“你好”翻译成英文。", "Hello, how are you and what is the matter with you today?"),
    pair("用python打印十次", "```python\nfor i in range(10):\n    print('ha')\n```"),
    pair("写一封求职信", "尊敬的[公司名称]：\n我的微信：abc123456，电话：138 0000 0000 0。"),
    pair("补全上联", "春风得意马蹄疾，"),
    pair(":%s/print/printf", ":%s/print/printf"),
    pair("说出一种水果", "苹果。", finish_reason="length", request_id="of a list"),
    pair("提取网址的域名", "a.example", input="https://a.example/b"),
    pair("对不起用英语怎么说", "对不起的说法是 sorry。"),
    pair("怎样道歉？", "先说对不起，再说明原因。无法挽回的就不要辩解。"),
    talk("玩一个游戏，输入数字", "好的，请选择：", "1", "你选了一。"),
    pair("列出步骤", "1. 洗菜\n2. 切菜\n1. 也可以先切"),
]  # fmt: skip


def test_what_the_rules_let_through(tmp_path: Path) -> None:
    cleaned = Cleaned(tmp_path, KEPT, "--set", "personal_data.action=report")
    assert cleaned.reasons() == []
    assert cleaned.rows("kept") == KEPT


FIXED = [
    (pair("介绍", "ä¸­æ–‡很难，但是很美。"), "中文很难，但是很美。"),
    (pair("介绍", "中\u200b国\ufeff很大\x07。"), "中国很大。"),
    (pair("介绍", "一<br>二<b>三</b>&nbsp;四&amp;五"), "一\n二三 四&五"),
    (pair("写html代码", "&lt;p&gt;好&lt;/p&gt;"), "<p>好</p>"),
    (pair("求和", "输出：14"), "14"),
    (pair("写代码", "代码如下：\npythonCopy code\nprint(1)\n2 / 2"), "代码如下：\nprint(1)"),
    (pair("列出三点", "1. 甲\n1. 乙\n1. 丙"), "1. 甲\n2. 乙\n3. 丙"),
    (pair("向谁提问", "写信给 li.ming@corp-mail.cn 吧。"), "写信给 [EMAIL] 吧。"),
]


@pytest.mark.parametrize(("record", "mended"), FIXED)
def test_what_is_mended(record: dict[str, Any], mended: str, tmp_path: Path) -> None:
    cleaned = Cleaned(tmp_path, [record], "--set", "contact.action=off")
    assert cleaned.rows("kept") == [{**record, "output": mended}]
    removed, added = (sum(cleaned.told["characters"][n].values()) for n in ("removed", "added"))
    assert added - removed == len(mended) - len(record["output"])
    (again,) = [Cleaned(tmp_path, cleaned.rows("kept"), "--set", "contact.action=off")]
    assert again.told["characters"]["removed"] == {}


def test_the_border_of_an_input_moves_with_a_fix(tmp_path: Path) -> None:
    record = {"instruction": "改\u200b写", "input": "天\u200b地\n人", "output": "好的。"}
    none = {"instruction": "说出五家公司", "input": "< noinput >", "output": "甲乙丙丁戊。"}
    kept = Cleaned(tmp_path, [record, none]).rows("kept")
    assert kept[0] == {"instruction": "改写", "input": "天地\n人", "output": "好的。"}
    assert kept[1] == {**none, "input": ""}


def test_what_is_only_reported(tmp_path: Path) -> None:
    records = [
        pair("介绍", LONG + "最后一句话还没有说完就停在这里了而且再也没有下文"),
        pair("谜语", "1. 甲\n2. 乙\n4. 丙"),
        pair("自我介绍", "我叫[姓名]。"),
        pair(
            "训练计划",
            "\n".join(f"第{n}天：{PLAN}" for n in "一二三四五六七八"),
        ),
    ]
    cleaned = Cleaned(tmp_path, records)
    assert cleaned.rows("kept") == records
    rules = {row["rule"]: row["action"] for row in cleaned.rows("findings")}
    assert rules == dict.fromkeys(("unfinished", "list_restart", "placeholder",
                                   "redundancy"), "report")  # fmt: skip


def test_the_same_question(tmp_path: Path) -> None:
    long = "请根据下面的背景材料写一篇关于城市绿化与居民健康之间关系的说明文，要求条理清楚，"
    long += "语言通顺，不少于八百字"
    records = [
        pair("什么是 AI？", "人工智能。"), pair("什么是ai", "人工智能！"),
        pair("什么是AI", "一门让机器像人一样思考的学科。"),
        pair(long + "。", "短文。"), pair(long + "吧。", "这是一篇长一些的文章。"),
        pair(long + "，不超过900字。", "数字不同就是另一个问题。"),
    ]  # fmt: skip
    cleaned = Cleaned(tmp_path, records)
    assert cleaned.reasons() == [(1, "duplicate"), (3, "near_duplicate")]
    found = [(r["where"], r["rule"]) for r in cleaned.rows("findings")]
    assert ("in.jsonl#0", "contradiction") in found
    strict = Cleaned(tmp_path, records, "--set", "twins.contradiction=drop",
                     "--set", "twins.keep_by=first")  # fmt: skip
    assert strict.reasons() == [(1, "duplicate"), (2, "contradiction"), (4, "near_duplicate")]


def test_scores_decide(tmp_path: Path) -> None:
    records = [pair("什么是水", "水。", id="a"), pair("什么是水", "水！", id="b"),
               pair("什么是火", "热。", id="c")]  # fmt: skip
    scores = tmp_path / "ifd.jsonl"
    lines = [{"id": "a", "ifd": 0.4}, {"id": "b", "ifd": 0.7}, {"id": "c", "ifd": 1.2}]
    scores.write_text("\n".join(map(json.dumps, lines)))
    options = ("--scores", str(scores), "--set", "score.column=ifd", "--set", "score.max=1.0",
               "--set", "twins.keep_by=ifd")  # fmt: skip
    cleaned = Cleaned(tmp_path, records, *options)
    assert sorted(cleaned.reasons()) == [(0, "duplicate"), (2, "score")]


def test_exam_questions_are_found(tmp_path: Path) -> None:
    exam = tmp_path / "exam.csv"
    question = "下列关于操作系统进程与线程之间关系的叙述中，正确的是哪一项？请选择最合适的答案"
    exam.write_text("id,question,A,B,C,D,answer\n"
                    f"0,{question},线程属于进程,进程属于线程,二者无关,以上都错,A\n"
                    "1,甲肝怎样感染____。,口,血,气,水,A\n")  # fmt: skip
    records = [pair(question + "\nA. 线程属于进程", "A"), pair("什么是进程", "运行中的程序。"),
               pair("回答问题", "经口。", input="甲肝怎样感染（ ）？")]  # fmt: skip
    cleaned = Cleaned(tmp_path, records, "--against", f"mine={exam}")
    assert cleaned.reasons() == [(0, "contaminated"), (2, "contaminated")]
    assert "mine" in cleaned.rows("dropped")[0]["reasons"][0]["note"]


def test_pairs_and_every_format_are_cleaned(tmp_path: Path) -> None:
    turn = {"from": "human", "value": "介绍\u200b北京"}
    records = [
        {"conversations": [turn], "chosen": "北\u200b京是首都。", "rejected": "不知道"},
        {"conversations": [turn], "chosen": "我是ChatGPT。", "rejected": "不知道"},
        {"conversation": [{"human": "上海\u200b呢", "assistant": "是大城市。"}]},
        {"messages": [{"role": "user", "content": "广州\u200b呢"},
                      {"role": "assistant", "content": "也是。"}], "k": 1},
    ]  # fmt: skip
    cleaned = Cleaned(tmp_path, records)
    assert cleaned.reasons() == [(1, "identity")]
    first, second, third = cleaned.rows("kept")
    assert (first["chosen"], first["rejected"]) == ("北京是首都。", "不知道")
    assert second["conversation"][0]["human"] == "上海呢"
    assert (third["messages"][0]["content"], third["k"]) == ("广州呢", 1)


def test_exchanges_before_a_bad_turn_can_stay(tmp_path: Path) -> None:
    long = talk("介绍北京", "北京是首都。", "你是谁", "我是ChatGPT。", "再见", "再见。")
    first = talk("你是谁", "我是ChatGPT。", "介绍北京", "北京是首都。")
    cleaned = Cleaned(tmp_path, [long, first], "--set", "turns.keep=before")
    assert cleaned.rows("kept") == [talk("介绍北京", "北京是首都。")]
    assert cleaned.reasons() == [(1, "identity")]
    assert cleaned.told["characters"]["removed"] == {"turns": 18}
    cut = next(row for row in cleaned.rows("findings") if row["rule"] == "turns")
    assert (cut["action"], cut["turn"], cut["note"]) == ("cut", 2, "identity in turn 3")


def test_ledgers_rejects_and_report(tmp_path: Path) -> None:
    records = [pair("问题", "答案。"), {"question": "x"}, pair("你是谁", "我是ChatGPT。"), 3]
    cleaned = Cleaned(tmp_path, records)
    assert cleaned.told["records"] == {"read": 4, "used": 2, "rejected": 2}
    assert cleaned.told["dialogues"] == {"read": 2, "kept": 1, "dropped": {"identity": 1}}
    assert [r["record"] for r in cleaned.rows("rejects")] == [{"question": "x"}, "3"]
    report = json.loads((cleaned.out / "report.json").read_text())
    (rule,) = report["rules"]
    assert (rule["rule"], rule["dialogues"], rule["decided"]) == ("identity", 1, 1)
    assert "⟦我是ChatGPT⟧" in rule["examples"][0]["text"]
    page = (cleaned.out / "report.html").read_text()
    assert "identity" in page
    assert "我是ChatGPT" in page
    assert load(CleanRecipe, cleaned.out / "recipe.toml") == CleanRecipe()


def test_twice_the_same_bytes(tmp_path: Path) -> None:
    records = [r for rows in DROPPED.values() for r in rows] + KEPT + [r for r, _ in FIXED]
    first = Cleaned(tmp_path, records)
    before = {p.name: p.read_bytes() for p in first.out.iterdir()}
    second = Cleaned(tmp_path, records)
    assert {p.name: p.read_bytes() for p in second.out.iterdir()} == before


def test_dry_run_shows_the_difference(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(pair("求和", "输出：14")) + "\n"
                      + json.dumps(pair("你是谁", "我是ChatGPT。")))  # fmt: skip
    ended = command("curate", "instruct", "clean", source, "--dry-run")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[:3] == [
        "in.jsonl#0 turn 1 answer_label: fix (输出：)",
        "  - ⟦输出：⟧14",
        "  + ⟦⟧14",
    ]
    assert lines[3] == "in.jsonl#1 turn 1 identity: drop (我是ChatGPT)"
    assert "dialogues: read 2 = kept 1 + dropped 1" in ended.out
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "identty.action=drop"), ("identity",)),
        (("--set", "identity.action=fix"), ("identity.action", "fix")),
        (("--set", "length.min_usr_chars=2"), ("min_user_chars",)),
        (("--set", "score.max=1.0"), ("no column",)),
        (("--against", "no.zip"), ("no.zip",)),
        (("--dry-run",), ("writes nothing",)),
    ],
)  # fmt: skip
def test_mistyped(tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(pair("问题", "答案。")))
    ended = command("curate", "instruct", "clean", source, "--out", tmp_path / "o", *arguments)
    usage_error(ended, *words)
    assert not (tmp_path / "o").exists()


def test_a_score_that_nothing_has(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(pair("问题", "答案。")))
    ended = command("curate", "instruct", "clean", source, "--out", tmp_path / "o",
                    "--set", "score.column=idf")  # fmt: skip
    assert ended.code == 1
    said(ended, "no dialogue has this score", "idf")


def test_init_prints_a_recipe_that_loads(tmp_path: Path) -> None:
    ended = command("curate", "instruct", "init")
    assert ended.out == commented()
    path = tmp_path / "recipe.toml"
    assert command("curate", "instruct", "init", "--out", path).code == 0
    assert load(CleanRecipe, path) == CleanRecipe()
    usage_error(command("curate", "instruct", "init", "--out", path), "exists")
    assert set(ABOUT) == set(CleanRecipe.__dataclass_fields__)


OFF = from_table(CleanRecipe, {"twins": {"near": "off"}}, where="")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text(max_size=40), min_size=2, max_size=2), min_size=1, max_size=4))
def test_any_text_leaves_balanced_books(texts: list[list[str]]) -> None:
    """The ledger is checked inside; nothing raises, whatever the texts hold."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "in.jsonl"
        source.write_text("\n".join(json.dumps(talk(*pair)) for pair in texts))
        with (Path(name) / "f").open("wb") as findings, (Path(name) / "d").open("wb") as dropped:
            tally = Tally()
            Cleaner(OFF, {}, findings, dropped, tally).run([source], Path(name))
    assert tally.dialogues + len(tally.rejects) == len(texts)
