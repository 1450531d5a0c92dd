"""What would go wrong in training on these dialogues, found before the first step.

Each rule is a fault that people met after days of training: a model that never stops because what
ends an answer was masked, a batch without a single trained token, a second BOS that no prompt has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from yanmo.errors import DataError
from yanmo.files import read_json
from yanmo.report import Table
from yanmo.vocab.load import Tokenizer

from .data import Batch
from .folder import load_config
from .loss import IGNORED
from .sft_data import Corpus
from .sft_feed import DialogueFeed

State = Literal["ok", "warning", "error"]
# Above these shares of the dialogues a loss of data is pointed out.
MANY_TOO_LONG: Final = 0.05
MANY_CUT: Final = 0.05
MANY_REFUSED: Final = 0.01
# Rows whose padding is looked at.
LOOKED_AT: Final = 64


@dataclass(frozen=True)
class Finding:
    """What a rule found.

    Attributes:
        rule: what ought to be.
        state: an ``error`` stops the run.
        count: cases; dialogues or answers, as the rule says.
        about: an example, or what is done about it.
    """

    rule: str
    state: State
    count: int = 0
    about: str = ""

    def table(self) -> dict[str, Any]:
        """For JSON."""
        return {"rule": self.rule, "state": self.state, "count": self.count, "about": self.about}


def lint(
    corpus: Corpus, feed: DialogueFeed | None, tokenizer: Tokenizer, model: Path
) -> list[Finding]:
    """Look at dialogues as they would be trained on.

    Args:
        corpus: the dialogues.
        feed: their batches; ``None`` where no dialogue is left.
        tokenizer: of the model.
        model: its folder.
    """
    account, first = corpus.account, corpus.examples
    return [
        _none("every answer ends with a trained end-of-turn token", account.unended,
              f"first in {first.get('unended')}; the template must close an answer with a special "
              "token, such as EOS"),
        _none("no dialogue opens with two BOS", account.double_bos,
              f"first in {first.get('double_bos')}; take one out of the template"),
        _none("the template is prefix-safe", account.unsafe, first.get("unsafe", "")),
        _some_target(corpus),  # behind the rules that say why
        _padding(feed, tokenizer, corpus),
        _stops(corpus, tokenizer, model),
        _share("texts hold no special token of the model, and have an answer",
               sum(account.refused.values()), account.read, MANY_REFUSED,
               f"{_reasons(account.refused)}; see quarantine.jsonl"),
        _share("dialogues fit data.max_tokens", account.too_long, account.read, MANY_TOO_LONG,
               f"left out, the first is {first.get('too_long')}; raise data.max_tokens "
               "(data.too_long=cut keeps the newest turns of those where these fit)"),
        _share("dialogues keep their oldest turns", account.cut, account.read, MANY_CUT,
               f"cut, the first is {first.get('cut')}"),
        _share("no token holds the end of a prompt and the start of an answer", account.merged,
               account.answers, 0.0, f"first in {first.get('merged')}; these tokens are not "
               "trained, and no prompt ends like that"),
    ]  # fmt: skip


def refuse(findings: Sequence[Finding]) -> None:
    """Stop at errors.

    Raises:
        DataError: names the first broken rule, with an example.
    """
    wrong = [finding for finding in findings if finding.state == "error"]
    if wrong:
        first, others = wrong[0], len(wrong) - 1
        more = f" ({others} more broken, see --dry-run)" if others else ""
        cases = f", {first.count} times" if first.count > 1 else ""
        raise DataError(f"broken rule{cases}: {first.rule}{more}", where="lint",
                        fix=first.about.rstrip(".") + ".")  # fmt: skip


def lint_table(findings: Sequence[Finding]) -> Table:
    """The findings as a table; what is in order says no more."""
    rows = [(f.rule, f.state, f.count, f.about if f.count or f.state != "ok" else "")
            for f in findings]  # fmt: skip
    return Table("Lint", ("rule", "result", "cases", "about"), rows)


def _some_target(corpus: Corpus) -> Finding:
    rule = "some token is trained"
    targets = int((corpus.labels != IGNORED).sum())
    if targets:
        return Finding(rule, "ok", about=f"{targets} tokens")
    account = corpus.account
    return Finding(
        rule, "error", 0,
        f"of {account.read} dialogues {account.kept} are left: {account.too_long} are too long, "
        f"{account.unsafe} show that the template is not prefix-safe, and of the others "
        f"{_reasons(account.refused) or 'none is refused'}",
    )  # fmt: skip


def _none(rule: str, count: int, about: str) -> Finding:
    return Finding(rule, "error" if count else "ok", count, about if count else "")


def _share(rule: str, count: int, of: int, many: float, about: str) -> Finding:
    state: State = "warning" if count > many * max(of, 1) else "ok"
    share = f"{100 * count / max(of, 1):.1f} % of {of}: "
    return Finding(rule, state, count, share + about if count else "")


def _reasons(refused: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in refused.items())


def _padding(feed: DialogueFeed | None, tokenizer: Tokenizer, corpus: Corpus) -> Finding:
    rule = "padding is masked, and no answer's end is masked with it"
    if feed is None:
        return Finding(rule, "ok")
    batch = feed.batch(range(min(feed.sequences, LOOKED_AT)))
    wrong = wrong_labels(batch, corpus)
    if wrong:
        return Finding(rule, "error", wrong, f"the padding token is {feed.pad_id}")
    same = feed.pad_id == corpus.end_id
    note = "the padding token is the one that ends answers; it is masked by its place"
    return Finding(rule, "ok", about=note if same else "")


def wrong_labels(batch: Batch, corpus: Corpus) -> int:
    """Labels of a batch that are trained and should not be, or are masked and should not be."""
    labels = batch.labels.numpy().ravel()
    padding = batch.positions < 0
    real = np.where(padding, IGNORED, corpus.labels[np.where(padding, 0, batch.positions)])
    return int((labels != real).sum())


def _stops(corpus: Corpus, tokenizer: Tokenizer, model: Path) -> Finding:
    rule = "generation stops at what ends an answer"
    end = corpus.end_id
    if end < 0 or end in stop_ids(tokenizer, model):
        return Finding(rule, "ok")
    return Finding(
        rule, "warning", 1,
        f"{tokenizer.id_to_piece(end)} is no EOS of the model; the config.json of the result "
        "names it",
    )  # fmt: skip


def stop_ids(tokenizer: Tokenizer, model: Path) -> set[int]:
    """The ids at which generation stops, by tokenizer, config.json and generation_config.json."""
    found: set[int | None] = {tokenizer.eos_id, load_config(model).eos_token_id}
    path = model / "generation_config.json"
    said = read_json(path).get("eos_token_id") if path.is_file() else None
    found.update(said if isinstance(said, list) else [said])
    return {index for index in found if index is not None}
