"""Self-Instruct against a scripted server: parsing, filters, faults, resuming, budgets."""

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.command import command, said, usage_error
from tests.stub_endpoint import Fault, Reply, Stub, serve
from yanmo.curate.instruct_filters import Filters, GenerateRecipe, refused
from yanmo.curate.instruct_generated import generate
from yanmo.curate.instruct_parse import NONE, parse_tasks
from yanmo.curate.instruct_prompt import Task, prompt_of, sample
from yanmo.curate.instruct_words import NOTHING
from yanmo.endpoint import Endpoint
from yanmo.errors import DataError, YanmoError
from yanmo.messages import read_dialogues, read_objects

SEEDS = [
    {"id": f"seed_{n}", "instruction": text, "instances": [{"input": given, "output": answer}]}
    for n, (text, given, answer) in enumerate([
        ("给下面的诗续写一句", "床前明月光", "疑是地上霜"),
        ("解释什么是光合作用", "", "植物制造养分。"),
        ("把下列单词按字母排序", "b a", "a b"), ("为什么天空是蓝色的？", "", "因为散射。"),
    ])
]  # fmt: skip
WORDS = "春夏秋冬山河湖海花草树木鸟兽虫鱼琴棋书画诗酒茶米油盐酱醋东西南北前后左右"


def task_text(number: int, words: str) -> str:
    asked = f"{number}. 指令：{words}应该怎样理解\n{number}. 输入：\n<无输入>\n"
    return f"{asked}{number}. 输出：\n说明{words}。\n###\n"


def fresh(body: dict[str, Any], count: int = 3) -> str:
    """Tasks that depend on what was asked alone, as a deterministic model's would."""
    text = body["messages"][0]["content"]
    rng = random.Random(text)
    first = int(re.findall(r"(\d+)\. 指令：$", text)[0])
    tasks = [task_text(first + i, "".join(rng.sample(WORDS, 8))) for i in range(count)]
    return "".join(tasks).removeprefix(f"{first}. 指令：")


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "seeds.jsonl"
    path.write_text("\n".join(json.dumps(seed) for seed in SEEDS))
    return path


def endpoint(stub: Stub, **changes: Any) -> Endpoint:
    settings: dict[str, Any] = {"first_wait": 0.001, "timeout_seconds": 5.0, **changes}
    return Endpoint(stub.url, "stub", **settings)


def rows(out: Path, name: str) -> list[dict[str, Any]]:
    return [record for _, record in read_objects(out / f"{name}.jsonl")]


Script = Callable[[dict[str, Any], int], Any]


def run(script: Script, seeds: Path, out: Path, *, changes: dict[str, Any] | None = None,
        **recipe: Any) -> tuple[dict[str, Any], Stub]:  # fmt: skip
    with serve(script) as stub:
        made = GenerateRecipe(**{"max_tasks": 6, "round_requests": 2, **recipe})
        report = generate(seeds, endpoint(stub, **(changes or {})), made, out, quiet=True)
    return report, stub


def test_tasks_with_where_they_come_from(seeds: Path, tmp_path: Path) -> None:
    report, stub = run(lambda body, number: fresh(body), seeds, tmp_path / "o")
    assert (report["tasks"], report["stopped"]) == (6, "tasks")
    first, *_ = rows(tmp_path / "o", "tasks")
    assert set(first) == {"instruction", "input", "output", "id", "seed_ids", "request_id", "model",
                          "params", "finish_reason", "sim_max", "nearest_id", "lang"}  # fmt: skip
    assert first["seed_ids"] == [s for s in first["seed_ids"] if s.startswith("seed_")]
    assert (first["input"], first["model"], first["finish_reason"]) == ("", "stub", "stop")
    assert 0 < first["sim_max"] <= 0.7
    assert len(list(read_dialogues(tmp_path / "o" / "tasks.jsonl"))) == 6
    body = stub.requests[0]
    assert (body["temperature"], body["max_tokens"]) == (1.0, 3072)
    shown = body["messages"][0]["content"]
    assert "###\n1. 指令：" in shown
    assert shown.endswith("###\n4. 指令：")
    page = (tmp_path / "o" / "report.html").read_text()
    assert "Nearest instruction" in page


def test_accepted_tasks_become_examples(seeds: Path, tmp_path: Path) -> None:
    _, stub = run(lambda body, number: fresh(body), seeds, tmp_path / "o", max_tasks=20)
    generated = [r for r in stub.requests[2:] if "应该怎样理解" in r["messages"][0]["content"]]
    assert len(generated) == len(stub.requests) - 2


def test_results_do_not_depend_on_concurrency(seeds: Path, tmp_path: Path) -> None:
    for name, concurrency in (("a", 1), ("b", 7)):
        run(lambda body, number: fresh(body), seeds, tmp_path / name, max_tasks=15,
            changes={"concurrency": concurrency})  # fmt: skip
    for name in ("tasks", "rejected"):
        assert (tmp_path / "a" / f"{name}.jsonl").read_bytes() == (
            tmp_path / "b" / f"{name}.jsonl").read_bytes()  # fmt: skip


def test_a_run_cut_off_goes_on_to_the_same_end(seeds: Path, tmp_path: Path) -> None:
    whole, _ = run(lambda body, number: fresh(body), seeds, tmp_path / "whole", max_tasks=20)

    def dies(body: dict[str, Any], number: int) -> Any:
        return Fault(400) if number >= 4 else fresh(body)

    with pytest.raises(YanmoError, match="refuses"):
        run(dies, seeds, tmp_path / "cut", max_tasks=20, changes={"concurrency": 1})
    report = json.loads((tmp_path / "cut" / "report.json").read_text())
    assert report["stopped"] == "failed"
    assert report["tasks"] > 0
    kept = len(rows(tmp_path / "cut", "answers"))
    with (tmp_path / "cut" / "answers.jsonl").open("a") as stream:
        stream.write('{"key": "half a li')  # as a kill leaves it
    again, stub = run(lambda body, number: fresh(body), seeds, tmp_path / "cut", max_tasks=20)
    assert len(stub.requests) >= again["requests"] - kept
    assert again["from_cache"] == kept == 4
    assert again["tasks"] == whole["tasks"]
    for name in ("tasks", "rejected"):
        assert (tmp_path / "cut" / f"{name}.jsonl").read_bytes() == (
            tmp_path / "whole" / f"{name}.jsonl").read_bytes()  # fmt: skip
    third, stub = run(lambda body, number: Fault(500), seeds, tmp_path / "cut", max_tasks=20)
    assert third["from_cache"] == third["requests"]


def test_trouble_that_passes(seeds: Path, tmp_path: Path) -> None:
    run(lambda body, number: fresh(body), seeds, tmp_path / "calm")
    faults = {0: Fault(429, {"Retry-After": "0"}), 2: Fault(500), 4: Fault(delay_seconds=1.5),
              6: Fault(body=b"no json")}  # fmt: skip

    def script(body: dict[str, Any], number: int) -> Any:
        return faults.get(number) or fresh(body)

    stormy, stub = run(script, seeds, tmp_path / "storm", changes={"timeout_seconds": 0.5})
    assert len(stub.requests) > stormy["requests"]
    assert (tmp_path / "calm" / "tasks.jsonl").read_bytes() == (
        tmp_path / "storm" / "tasks.jsonl").read_bytes()  # fmt: skip


ODD = """ 说说端午节的来历
4．输入:
<无输入>
4. 输出：
纪念屈原。
###
## 7、指令: 比较苹果和梨的味道
7、输出：
苹果酸甜，梨清甜。
###
**8. 指令：** 数出下面句子的字数
**8. 输入：** 今天天气好
**8. 输出：**
五个字。
输出：这一行也是输出的一部分
###
9. 指令：没有输出的任务应该怎样处理
9. 输入：
无
"""


def test_answers_of_odd_form() -> None:
    found = parse_tasks(ODD, language="zh", first=4, cut=False)
    assert [p.parts for p in found] == [
        ("说说端午节的来历", "", "纪念屈原。"),
        ("比较苹果和梨的味道", "", "苹果酸甜，梨清甜。"),
        ("数出下面句子的字数", "今天天气好", "五个字。\n输出：这一行也是输出的一部分"),
        ("没有输出的任务应该怎样处理", "", ""),
    ]
    assert [p.fault for p in found] == ["", "", "", "malformed"]
    cut = parse_tasks(ODD.split("###")[0], language="zh", first=4, cut=True)
    assert [p.fault for p in cut] == ["truncated"]


PLAIN = st.text(st.sampled_from("天地人ab1 。，.:：-#\n"), min_size=1, max_size=30).map(
    lambda text: re.sub(r"(?m)^[ \t]*[#=*-]{2,}[ \t]*$", "", text).strip() or "文"
)


@given(st.lists(st.tuples(PLAIN, PLAIN | st.just(""), PLAIN), min_size=1, max_size=5),
       st.sampled_from(["zh", "en"]))  # fmt: skip
def test_what_a_request_shows_reads_back(tasks: list[tuple[str, str, str]], language: str) -> None:
    shown = prompt_of([Task(*parts) for parts in tasks], language, len(tasks) + 1).text
    text = shown[shown.index("###\n1. ") + len("###\n") :]
    found = parse_tasks(text, language=language, first=1, cut=True)
    assert [p.parts for p in found[:-1]] == [
        (a, "" if b in NONE or NOTHING.fullmatch(b) else b, c) for a, b, c in tasks
    ]
    assert [p.fault for p in found] == [""] * len(tasks) + ["truncated"]


def test_questions_inside_a_task_are_its_own() -> None:
    given_, said_ = "1. 问题：甲\n2. 问题：乙", "1. 答案：丙\n2. 答案：丁"
    text = f"4. 指令：回答下面的问题\n4. 输入：\n{given_}\n4. 输出：\n{said_}"
    (found,) = parse_tasks(text, language="zh", first=4, cut=False)
    assert (found.parts[1:], found.fault) == ((given_, said_), "")


@given(st.text(max_size=200) | st.text(st.sampled_from("1.指令输出：:\n# Input"), max_size=80),
       st.booleans())  # fmt: skip
def test_any_answer_can_be_read(answer: str, cut: bool) -> None:
    found = parse_tasks(answer, language="zh", first=4, cut=cut)
    assert all(p.raw for p in found)
    assert len(found) >= 1


def test_english_answers() -> None:
    text = ("4. Instruction: Name a river.\n4. Input:\n<noinput>\n4. Output:\nThe Nile.\n###\n"
            "5. Instruction: Add the numbers.\n5. Input: 2 3\n5. Output: 5\n###\n")  # fmt: skip
    found = parse_tasks(text, language="en", first=4, cut=False)
    assert [p.parts for p in found] == [("Name a river.", "", "The Nile."),
                                        ("Add the numbers.", "2 3", "5")]  # fmt: skip
    unnumbered = re.sub(r"\d\. (?=[IO])", "", text)
    assert [p.parts for p in parse_tasks(unnumbered, language="en", first=4, cut=False)] == [
        p.parts for p in found]  # fmt: skip


def test_faults_of_answers_have_reasons(seeds: Path, tmp_path: Path) -> None:
    answers = [
        task_text(4, "春夏秋冬山河湖海") + "5. 指令：这条没有输出的部分\n5. 输入：\n无",
        Reply(task_text(4, "花草树木鸟兽虫鱼") + task_text(5, "琴棋书画诗酒"), "length"),
        task_text(4, "春夏秋冬山河湖海") + "5. 指令：Translate it\n5. 输出：ok\n",
        "4. 指令：描述这张图片里有什么\n4. 输出：一只猫\n###\n5. 指令：写诗\n5. 输出：好\n"
        "###\n6. 指令：，写一首关于秋天的诗\n6. 输出：好\n###\n7. 指令：写一个程序求和\n7. 输出：x",
    ]
    report, _ = run(lambda body, number: answers[number], seeds, tmp_path / "o", max_requests=4,
                    changes={"concurrency": 1})  # fmt: skip
    assert report["stopped"] == "requests"
    assert report["reasons"] == {
        "accepted": 2, "malformed": 1, "truncated": 1, "similar": 1, "language": 1,
        "blacklist:图片": 1, "too_short": 1, "starts_with_punctuation": 1, "keyword": 1,
    }  # fmt: skip
    similar = next(r for r in rows(tmp_path / "o", "rejected") if r["reason"] == "similar")
    assert similar["sim_max"] == 1.0
    assert similar["nearest_id"] == "00000-00"  # the pool is live
    broken = next(r for r in rows(tmp_path / "o", "rejected") if r["reason"] == "malformed")
    assert "5. 指令：这条没有输出的部分" in broken["raw"]


REFUSED = [
    (Task("", "", "x"), "empty_instruction"),
    (Task("说说你的看法", "", "<无输出>"), "empty_output"),
    (Task("短", "", "x"), "too_short"), (Task("长" * 151, "", "x"), "too_long"),
    (Task("总结下面的内容", "见 http://a.b", "好"), "blacklist:http"),
    (Task("总结下面的内容", "用OpenAI写的", "好"), "blacklist:openai"),
    (Task("总结下面的内容", "甲", "乙，附图片"), None),  # what is answered is not looked at
    (Task("整理下面的证明文件", "", "好"), None),  # allowed phrase
    (Task("把这句话翻译成英文", "你好", "hello my dear old friend of mine"), None),
    (Task("谈谈你的家乡有什么", "", "my town has a river and a hill"), "language"),
    (Task("改写下面的句子", "原样", "原样"), "output_is_input"),
    (Task("设计一个国际象棋残局", "", "8/8/8/4k3/4P3/4K3/8/8 w - - ab cd ef"), None),
]  # fmt: skip


@pytest.mark.parametrize(("task", "reason"), REFUSED)
def test_filters(task: Task, reason: str | None) -> None:
    assert refused(task, "zh", Filters()) == reason


def test_english_filters() -> None:
    for text, reason in [
        ("Describe the picture you see.", "blacklist:picture"),
        ("Explain photography to me.", None),
        ("Go away", "too_short"), ("Summarize the plot of Hamlet.", None),
        ("Write a program that sums.", "keyword"), ("解释 what is this", "language"),
    ]:  # fmt: skip
        assert refused(Task(text, "", "x"), "en", Filters()) == reason, text


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [({"max_total_tokens": 40}, "tokens"), ({"max_requests": 3}, "requests")],
)
def test_budgets(seeds: Path, tmp_path: Path, recipe: dict[str, Any], reason: str) -> None:
    report, _ = run(lambda body, number: fresh(body), seeds, tmp_path / "o", max_tasks=999,
                    **recipe)  # fmt: skip
    assert (report["stopped"], report["requests"]) == (reason, 3)


def test_a_model_that_repeats_itself_is_stopped(seeds: Path, tmp_path: Path) -> None:
    report, _ = run(lambda body, number: task_text(4, "春夏秋冬山河湖海") * 5, seeds,
                    tmp_path / "o", acceptance_window=10, min_acceptance=0.2)  # fmt: skip
    assert (report["stopped"], report["tasks"], report["reasons"]["similar"]) == (
        "acceptance",
        1,
        9,
    )


def test_a_model_that_says_nothing_is_stopped(seeds: Path, tmp_path: Path) -> None:
    report, stub = run(lambda body, number: "", seeds, tmp_path / "o", acceptance_window=30)
    assert report["tasks"] == 0
    assert report["stopped"] in ("acceptance", "no_tasks")
    assert len(stub.requests) <= 40


def test_the_key_is_not_on_disk(
    seeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "sk-secret-1234")
    _, stub = run(lambda body, number: fresh(body), seeds, tmp_path / "o",
                  changes={"key_env": "A_KEY"})  # fmt: skip
    assert stub.headers[0]["Authorization"] == "Bearer sk-secret-1234"
    for path in (tmp_path / "o").rglob("*"):
        assert path.is_dir() or b"sk-secret" not in path.read_bytes()


def test_command(seeds: Path, tmp_path: Path) -> None:
    with serve(lambda body, number: fresh(body)) as stub:
        options = ("--base-url", stub.url, "--model", "stub", "--out", tmp_path / "o")
        ended = command("curate", "instruct", "generate", seeds, *options, "--tasks", 4, "--json",
                        "-q")  # fmt: skip
        assert ended.code == 0, ended.err
        assert ended.json()["tasks"] == 4
        dry = command("curate", "instruct", "generate", seeds, *options, "--dry-run",
                      "--language", "en")  # fmt: skip
        assert dry.out.rstrip().endswith("4. Instruction:")
        wrong = command("curate", "instruct", "generate", seeds, *options, "--language", "fr")
        usage_error(wrong, "zh", "fr")
        key = command("curate", "instruct", "generate", seeds, *options, "--key-env", "NO_KEY_X")
        usage_error(key, "NO_KEY_X")
    (tmp_path / "talk.jsonl").write_text(
        json.dumps({"messages": [{"role": "user", "content": "x"}]})
    )
    ended = command("curate", "instruct", "generate", tmp_path / "talk.jsonl", *options)
    assert ended.code == 1
    said(ended, "one question and one answer", "talk.jsonl#0")


def test_examples_are_drawn_by_seed_and_number() -> None:
    seeds = [Task(f"指令{n}", "", "答", f"s{n}") for n in range(20)]
    pool = [Task(f"新指令{n}", "", "答", f"p{n}") for n in range(5)]
    drawn = [
        [t.id for t in sample(seeds, pool, (2, 1), random.Random(f"0:{n}"))] for n in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert sum(name.startswith("p") for name in drawn[0]) == 1
    assert [t.id[0] for t in sample(seeds, [], (2, 1), random.Random(0))] == ["s"] * 3
    shown = prompt_of(seeds[:3], "zh", 10)
    assert (shown.first, shown.examples) == (4, ("s0", "s1", "s2"))


def test_seeds_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(DataError, match="no seed task"):
        generate(tmp_path / "none.jsonl", Endpoint("http://localhost:1/v1", "m"), GenerateRecipe(),
                 tmp_path / "o", quiet=True)  # fmt: skip
