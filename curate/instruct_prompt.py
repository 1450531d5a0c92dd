"""The request for new tasks: our own wording, Chinese and English, and how examples stand in it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NO_INPUT: Final = {"zh": "<无输入>", "en": "<noinput>"}
LABELS: Final = {"zh": ("指令", "输入", "输出"), "en": ("Instruction", "Input", "Output")}
COLONS: Final = {"zh": "：", "en": ": "}

TEXT: Final = {
    "zh": """\
你在为一个中文语言模型编写训练用的任务。请写出一份共 {total} 个任务的清单，每个任务由指令、输\
入、输出三部分组成。

请遵守：
1. 各条指令的动词尽量不重复，话题也要分散。
2. 说法要有变化：有的用问句，有的用祈使句，有的口语一些。
3. 任务类型要多样：头脑风暴、开放问答、根据材料问答、改写、信息抽取、写作、分类、闲聊、摘要等\
都可以有。
4. 任务必须是只会读写文字的模型能完成的；不要涉及图片、声音、视频、文件或网址，也不要让模型设\
闹钟、打电话、上网。
5. 指令用中文写，一到两句话，问句和祈使句都可以。
6. 输入要真实、具体、有内容，不要用省略号或“某某”之类的占位词；需要文章时就写出文章，不超过两\
百字。
7. 不是每条指令都需要输入；不需要时，输入写 {nothing}。
8. 输出是对指令和输入的恰当、正确、完整的回答。

每个任务之间用单独一行 ### 隔开，格式与下面的例子完全相同。例子之后请从第 {first} 个接着写到第\
 {total} 个。
""",
    "en": """\
You write tasks that a language model will be trained on. Make a list of {total} tasks; each \
has an instruction, an input and an output.

Keep to these points:
1. Hardly use a verb twice among the instructions, and spread the topics.
2. Vary the wording: questions, requests, casual and formal ones.
3. Vary the kind of task: brainstorming, open questions, questions about a text, rewriting, \
extraction, writing, classification, small talk, summaries and others.
4. A model that only reads and writes text must be able to do it: no pictures, sound, video, \
files or links, no alarms, calls or browsing.
5. Write the instruction in English, in one or two sentences.
6. The input is realistic and has substance, without ellipses or blanks to fill in; where a \
passage is needed, give one of at most 100 words.
7. Not every instruction needs an input; where it does not, the input is {nothing}.
8. The output answers the instruction and its input fittingly, correctly and completely.

Separate tasks by a line of ###, in exactly the form of the examples below. After the examples, \
go on from number {first} to number {total}.
""",
}


@dataclass(frozen=True)
class Task:
    """A task: what is asked, on what, and the answer.

    Attributes:
        instruction: what to do.
        input: on what; empty if on nothing.
        output: the answer.
        id: its name.
    """

    instruction: str
    input: str
    output: str
    id: str = ""


@dataclass(frozen=True)
class Prompt:
    """A request for tasks.

    Attributes:
        text: what the model is told.
        first: number of the first task it is to write.
        examples: ids of the tasks shown.
    """

    text: str
    first: int
    examples: tuple[str, ...]


def sample(seeds: Sequence[Task], pool: Sequence[Task], counts: tuple[int, int],
           rng: random.Random) -> list[Task]:  # fmt: skip
    """Examples for a request: so many written by people, so many by the model, in any order.

    As long as the pool has too few, more seeds stand in.
    """
    human, machine = counts
    taken = min(machine, len(pool))
    wanted = min(human + machine - taken, len(seeds))
    chosen = [*rng.sample(list(seeds), wanted), *rng.sample(list(pool), taken)]
    rng.shuffle(chosen)
    return chosen


def prompt_of(examples: Sequence[Task], language: str, total: int) -> Prompt:
    """The request that shows some examples and asks for as many more as make ``total``."""
    first = len(examples) + 1
    head = TEXT[language].format(total=total, first=first, nothing=NO_INPUT[language])
    parts = [head]
    for number, task in enumerate(examples, 1):
        texts = (task.instruction, task.input or NO_INPUT[language], task.output)
        lines = []
        for label, text in zip(LABELS[language], texts, strict=True):
            gap = (
                COLONS[language]
                if label == LABELS[language][0]
                else f"{COLONS[language].strip()}\n"
            )
            lines.append(f"{number}. {label}{gap}{text.strip()}")
        parts.append("###\n" + "\n".join(lines) + "\n")
    parts.append(f"###\n{first}. {LABELS[language][0]}{COLONS[language].rstrip()}")
    return Prompt("".join(parts), first, tuple(task.id for task in examples))
