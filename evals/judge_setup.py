"""From what the command line says to a judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from yanmo.errors import UsageError
from yanmo.files import read_json
from yanmo.recipe import did_you_mean

from .answers import Question
from .judge_prompts import language_of, load_template, read_class_prompts
from .judges import STUBS, Judge, PromptJudge, Source, Stub
from .runs import RUN

KINDS: Final = ("endpoint", "model", "reward", *STUBS)
MODES: Final = ("auto", "words", "letters")
_LANGUAGE_MODELS: Final = ("endpoint", "model")
_USED_BY: Final = {
    "model": (*_LANGUAGE_MODELS, "reward"), "url": ("endpoint",), "key_env": ("endpoint",),
    "mode": _LANGUAGE_MODELS, "template": _LANGUAGE_MODELS, "class_prompts": _LANGUAGE_MODELS,
    "max_tokens": _LANGUAGE_MODELS, "tie_margin": ("reward",),
}  # fmt: skip
NO_LOGPROBS: Final = "The server gives no log-probabilities: words were read instead."
REPLIES: Final = "replies.jsonl"


@dataclass(frozen=True)
class JudgeOptions:
    """Which judge, and how it is asked.

    Attributes:
        kind: a name in ``KINDS``.
        model: name at the endpoint, or folder.
        url: base address of the endpoint.
        key_env: environment variable that holds its key.
        concurrency: requests under way at once.
        mode: ``words`` (a reason, then the verdict), ``letters`` (probabilities at the place of the
            verdict), or ``auto``: words from an endpoint, letters from a model here.
        template: wording; ``auto`` follows the language of the questions.
        class_prompts: file of rules by class, for grades.
        tie_margin: of rewards.
        p: of the noisy judge.
        seed: of the noisy judge.
        max_tokens: of a written reply; ``None``: 1024 from an endpoint, 256 here.
        dtype, device: of a model here.
    """

    kind: str
    model: str | None = None
    url: str | None = None
    key_env: str | None = None
    concurrency: int = 4
    mode: str = "auto"
    template: str = "auto"
    class_prompts: Path | None = None
    tie_margin: float = 0.0
    p: float = 0.8
    seed: int = 0
    max_tokens: int | None = None
    dtype: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError("no such judge", value=self.kind, fix=did_you_mean(self.kind, KINDS))
        if self.mode not in MODES:
            raise UsageError("no such mode", value=self.mode, fix=did_you_mean(self.mode, MODES))
        for name in _USED_BY:
            default = type(self).__dataclass_fields__[name].default
            if getattr(self, name) != default and self.kind not in _USED_BY[name]:
                raise UsageError(f"the judge '{self.kind}' takes no --{name.replace('_', '-')}",
                                 value=getattr(self, name))  # fmt: skip
        if self.kind in ("endpoint", "model", "reward") and not self.model:
            raise UsageError(f"the judge '{self.kind}' needs --model",
                             fix="Its name at the endpoint, or its folder.")  # fmt: skip
        if self.kind == "endpoint" and not self.url:
            raise UsageError("the judge 'endpoint' needs --url",
                             fix="For example --url http://localhost:8000/v1.")  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    """A judge ready to work.

    Attributes:
        note: what was asked for and could not be had; empty as a rule.
    """

    judge: Judge
    note: str = ""


def make_judge(
    options: JudgeOptions, questions: Sequence[Question], *, kind: str, out: Path | None
) -> Chosen:
    """Make the judge.

    Args:
        options: which one.
        questions: to tell the language by.
        kind: ``pair`` or ``single``.
        out: folder where replies of an endpoint are kept.

    Raises:
        UsageError: it does not exist, or cannot do that.
        YanmoError: the endpoint does not answer.
    """
    if options.kind in STUBS:
        return Chosen(Stub(options.kind, options.p, options.seed))
    if options.kind == "reward":
        from .judge_reward import RewardJudge

        folder = Path(str(options.model))
        return Chosen(RewardJudge(folder, margin=options.tie_margin, device=options.device))
    source, letters, note = _source(options, kind, out)
    rules: Mapping[str, str] = {}
    name = options.template
    if options.class_prompts is not None:
        if kind != "single":
            raise UsageError("--class-prompts goes with --single")
        rules = read_class_prompts(options.class_prompts)
        name = "class-zh" if name == "auto" else name
    name = language_of(list(questions)) if name == "auto" else name
    template = load_template(name, kind)
    return Chosen(PromptJudge(source, template, letters=letters, rules=rules), note)


def _source(options: JudgeOptions, kind: str, out: Path | None) -> tuple[Source, bool, str]:
    from .judge_sources import EndpointSource, ModelSource

    if kind == "single" and options.mode == "letters":
        raise UsageError("grades are read from words", value="--mode letters",
                         fix="Leave out --mode.")  # fmt: skip
    if options.kind == "model":
        from .score import LoadOptions, load_scorer

        loaded = LoadOptions(dtype=options.dtype, device=options.device)
        scorer = load_scorer(Path(str(options.model)), loaded)
        letters = kind == "pair" and options.mode != "words"
        return ModelSource(scorer, max_tokens=options.max_tokens or 256), letters, ""
    from yanmo.endpoint import Client, Endpoint

    place = Endpoint(str(options.url), str(options.model), key_env=options.key_env,
                     concurrency=options.concurrency)  # fmt: skip
    client = Client(place, cache=None if out is None else out / REPLIES)
    source = EndpointSource(client, max_tokens=options.max_tokens or 1024)
    if options.mode != "letters":
        return source, False, ""
    if _letters_before(out) or EndpointSource(Client(place)).gives_logprobs():
        return source, True, ""
    return source, False, NO_LOGPROBS


def _letters_before(out: Path | None) -> bool:
    """Whether a run that goes on was reading letters: then the server need not be probed again."""
    if out is None or not (out / RUN).is_file():
        return False
    judge = read_json(out / RUN).get("identity", {}).get("judge", {})
    return bool(judge.get("mode") == "letters")
