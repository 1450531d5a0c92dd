"""The recipe of ``yanmo curate instruct clean``: a table a rule, its action and thresholds."""

from dataclasses import dataclass, field, fields
from typing import Any, Final

from yanmo.recipe import OFF, dumps, setting

from .exam_items import Against

ACTIONS: Final = (OFF, "report", "drop")
FIXES: Final = (OFF, "report", "fix", "drop")


@dataclass(frozen=True)
class Drop:
    """A rule that drops unless told otherwise."""

    action: str = setting("drop", choices=ACTIONS, help="off, report or drop.")


@dataclass(frozen=True)
class Report:
    """A rule that only reports unless told otherwise."""

    action: str = setting("report", choices=ACTIONS, help="off, report or drop.")


@dataclass(frozen=True)
class Fix:
    """A rule that mends the text unless told otherwise."""

    action: str = setting("fix", choices=FIXES, help="off, report, fix or drop.")


@dataclass(frozen=True)
class Length(Drop):
    """Characters of a turn, by role."""

    min_user_chars: int = setting(
        1, low=0, help="A shorter first question is too_short; later ones may be a menu's number."
    )
    max_user_chars: int = setting(20_000, low=1, help="A longer question is too_long.")
    min_answer_chars: int = setting(
        1, low=0, source="FastChat: 16; answers of classification have one or two",
        help="A shorter answer is too_short.",
    )  # fmt: skip
    max_answer_chars: int = setting(20_000, low=1, help="A longer answer is too_long.")
    max_system_chars: int = setting(20_000, low=1, help="A longer system message is too_long.")


@dataclass(frozen=True)
class Unfinished(Report):
    """An answer of several sentences whose last one does not end."""

    min_chars: int = setting(80, low=1, help="Shorter answers may end as they like.")
    min_last_chars: int = setting(
        15, low=1, help="A last line of fewer characters may be a title, a signature or a verse."
    )


@dataclass(frozen=True)
class Repetition(Drop):
    """An answer that ends in a loop, or in one character again and again."""

    min_chars: int = setting(60, low=1, help="Shorter answers are not looked at.")
    loop_times: int = setting(5, low=2, help="Times in a row that the end stands.")


@dataclass(frozen=True)
class Redundancy(Report):
    """An answer that says little twice; schedules and tables do, too."""

    gram_chars: int = setting(10, low=2, source="data-juicer", help="Letters of a gram.")
    max_share: float = setting(
        0.6, low=0.0, high=1.0, source="data-juicer", help="Most grams that may occur twice."
    )
    min_chars: int = setting(100, low=1, help="Shorter answers are not looked at.")


@dataclass(frozen=True)
class Language(Drop):
    """An answer in another script than the question; translation and code are let through."""

    high: float = setting(0.97, low=0.0, high=1.0, help="Han share of a Chinese text, from here.")
    low: float = setting(0.1, low=0.0, high=1.0, help="Han share of another text, up to here.")
    min_words: int = setting(10, low=1, help="Hanzi and Latin words that both must have.")


@dataclass(frozen=True)
class Twins:
    """Dialogues that ask the same; the best by score stays."""

    exact: str = setting("drop", choices=ACTIONS, help="Equal questions and answers.")
    contradiction: str = setting(
        "report", choices=ACTIONS,
        help="Equal questions with other answers; drop keeps the best. To an open question "
        "several answers are right.",
    )  # fmt: skip
    near: str = setting("drop", choices=ACTIONS, help="Nearly equal questions.")
    near_share: float = setting(
        0.9, low=0.5, high=1.0, source="distilabel's threshold",
        help="Least Jaccard similarity of the character 5-grams.",
    )  # fmt: skip
    keep_by: str = setting(
        "length", help="length of the answers, first, or a score column such as ifd; higher stays."
    )
    seed: int = setting(1, low=0, help="Of the MinHash permutations.")


@dataclass(frozen=True)
class Contaminated(Drop):
    """Dialogues that hold exam questions; see docs/decontamination.md."""

    against: tuple[Against, ...] = setting(
        (), help='Exam files, such as [{path = "ceval-exam.zip"}]; --against adds more.'
    )
    min_share: float = setting(
        0.7, low=0.01, high=1.0, source="PaLM; docs/decontamination.md",
        help="Share of a question that must stand in the dialogue.",
    )  # fmt: skip
    tokens: int = setting(13, low=5, high=64, source="GPT-3", help="Tokens of an n-gram.")


@dataclass(frozen=True)
class Score(Drop):
    """A column of numbers, such as ifd, from --scores or the record itself."""

    column: str = setting(OFF, help="Its name; off: none is looked at.")
    min: float | None = setting(None, help="A lower score drops; off: no bound.")
    max: float | None = setting(None, help="A higher score drops (ifd: 1); off: no bound.")


@dataclass(frozen=True)
class Turns:
    """What becomes of a dialogue with a bad turn."""

    keep: str = setting(
        "none", choices=("none", "before"),
        help="none: a bad turn drops the dialogue; before: the exchanges before it stay.",
    )  # fmt: skip


@dataclass(frozen=True)
class CleanRecipe:
    """What becomes of instruction data; rules in the order in which they are asked."""

    mojibake: Fix = field(default_factory=Fix)
    control: Fix = field(default_factory=Fix)
    html: Fix = field(default_factory=Fix)
    page_residue: Fix = field(default_factory=Fix)
    no_input: Fix = field(default_factory=Fix)
    answer_label: Fix = field(default_factory=Fix)
    numbering: Fix = field(default_factory=Fix)
    personal_data: Fix = field(default_factory=Fix)
    empty: Drop = field(default_factory=Drop)
    length: Length = field(default_factory=Length)
    lost_characters: Drop = field(default_factory=Drop)
    truncated: Drop = field(default_factory=Drop)
    unfinished: Unfinished = field(default_factory=Unfinished)
    refusal: Drop = field(default_factory=Drop)
    asks_for_input: Drop = field(default_factory=Drop)
    identity: Drop = field(default_factory=Drop)
    role_leak: Drop = field(default_factory=Drop)
    prompt_echo: Drop = field(default_factory=Drop)
    list_restart: Report = field(default_factory=Report)
    repetition: Repetition = field(default_factory=Repetition)
    redundancy: Redundancy = field(default_factory=Redundancy)
    url_only: Drop = field(default_factory=Drop)
    contact: Drop = field(default_factory=Drop)
    placeholder: Report = field(default_factory=Report)
    language: Language = field(default_factory=Language)
    score: Score = field(default_factory=Score)
    turns: Turns = field(default_factory=Turns)
    contaminated: Contaminated = field(default_factory=Contaminated)
    twins: Twins = field(default_factory=Twins)

    def action(self, rule: str) -> str:
        """What a rule does: of rules that share a table, too."""
        shared = {"too_short": "length", "too_long": "length"}
        twins = {"duplicate": "exact", "contradiction": "contradiction", "near_duplicate": "near"}
        if rule in twins:
            return str(getattr(self.twins, twins[rule]))
        return str(getattr(self, shared.get(rule, rule)).action)


ABOUT: Final = {
    "mojibake": "UTF-8 that was read as Windows-1252 (ftfy).",
    "control": "Control characters, byte order marks, invisible characters.",
    "html": "Tags and entities where nobody asked for code.",
    "page_residue": "What a chat page leaves behind: Copy code, 2 / 2.",
    "no_input": "<noinput>, <无输入> at the end of a question.",
    "answer_label": "输出：, 答案：, Output: before the answer.",
    "numbering": "A list whose items all have the number 1.",
    "personal_data": "Addresses and numbers of persons; see docs/personal_data.md.",
    "empty": "A turn without a visible character, or N/A, <noinput>, …",
    "length": "Characters of a turn, by role: too_short, too_long.",
    "lost_characters": "U+FFFD or 锟斤拷: what stood there is gone.",
    "truncated": "Ends with a comma, a colon or an open bracket or code block, or was cut.",
    "unfinished": "The last of several sentences has no end.",
    "refusal": "The answer says that it will not or cannot.",
    "asks_for_input": "The only answer asks for a text that the question forgot.",
    "identity": "我是ChatGPT, 作为一个AI语言模型, as an AI language model.",
    "role_leak": "Human:, ### Instruction, <|im_start|> inside an answer.",
    "prompt_echo": "The answer is the question, or begins with it.",
    "list_restart": "A list that begins again, or counts wrongly.",
    "repetition": "An answer that ends in a loop, or one character again and again.",
    "redundancy": "Most of an answer stands in it twice.",
    "url_only": "A question that is only a link.",
    "contact": "WeChat, QQ, telephone, advertising.",
    "placeholder": "[姓名], xxx, [Your Name].",
    "language": "The answer is in another script than the question.",
    "score": "A score column out of its bounds.",
    "turns": "A dialogue whose later turns are bad.",
    "contaminated": "Holds a question of an examination.",
    "twins": "duplicate, contradiction, near_duplicate: the best by score stays.",
}


def commented() -> str:
    """The default recipe as TOML with comments; it loads back to the defaults."""
    recipe = CleanRecipe()
    lines = ["# A recipe for `yanmo curate instruct clean`. Actions: off, report, fix, drop.", ""]
    table: Any = recipe
    for line in dumps(recipe).splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            table = getattr(recipe, name)
            lines.append(f"# {ABOUT[name]}")
        key = line.partition(" = ")[0]
        notes = {f.name: f.metadata for f in fields(table)}
        if " = " in line and key in notes:
            told = str(notes[key].get("help") or "")
            source = notes[key].get("source")
            line += f"  # {told}" + (f" Source: {source}." if source else "")
        lines.append(line)
    return "\n".join(lines) + "\n"
