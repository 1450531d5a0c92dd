"""``yanmo evals score --signal ifd``."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from yanmo.errors import UsageError
from yanmo.options import emit, quiet
from yanmo.recipe import did_you_mean

if TYPE_CHECKING:
    from .score import Scorer

SIGNALS: Final = ("ifd",)
DIALECTS: Final = {None: "auto", "chat": "chat", "plain": "plain"}


def run_signal(signal: str, load: "Callable[[], Scorer]", data: Path,
               options: dict[str, Any]) -> None:  # fmt: skip
    """Score dialogues instead of an examination.

    Args:
        signal: its name.
        load: loads the model.
        data: file of dialogues.
        options: of the command; those of examinations are not looked at.

    Raises:
        UsageError: the signal is unknown, or an option is missing or of no use here.
    """
    if signal not in SIGNALS:
        raise UsageError("unknown signal", value=signal, fix=did_you_mean(signal, SIGNALS))
    if options["out"] is None:
        raise UsageError("a signal needs a folder for its scores", fix="Give --out DIR.")
    if options["dialect"] not in DIALECTS:
        raise UsageError("a dialogue is written in the model's chat template, or plain",
                         where="--dialect", value=options["dialect"],
                         fix="Leave it out, or: chat, plain.")  # fmt: skip
    from .ifd import IfdOptions, score_dialogues
    from .ifd_report import shown

    settings = IfdOptions(DIALECTS[options["dialect"]], options["batch_tokens"], options["limit"])
    summary = score_dialogues(load(), data, settings, out=options["out"], quiet=quiet())
    text = f"{shown(summary)}\n\n{options['out'] / 'report.html'}"
    emit(summary, as_json=options["as_json"], text=text)
