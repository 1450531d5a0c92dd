"""``yanmo curate instruct generate``: new tasks from seeds, by asking a model (Self-Instruct).

What is asked depends on the recipe and on what was accepted before, never on which answer came
first: requests are made in rounds from one state of the pool, and answers are read in their order.
All answers are kept, so a run that was cut off asks for nothing twice and comes to the same end.

Source: Wang et al. 2022 (arXiv:2212.10560); Stanford Alpaca; BELLE (arXiv:2303.14742).
"""

import json
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yanmo.endpoint import Answer, Client, Request
from yanmo.errors import DataError
from yanmo.message_formats import parse
from yanmo.message_records import INPUT_AT
from yanmo.messages import read_objects

from .instruct_filters import GenerateRecipe, refused
from .instruct_parse import Parsed, parse_tasks
from .instruct_prompt import Prompt, Task, prompt_of, sample
from .instruct_rouge import Pool


def read_seeds(path: Path) -> list[Task]:
    """Seed tasks of a file in any format of single exchanges.

    Raises:
        DataError: a record is none, or there are none.
    """
    seeds = []
    for where, record in read_objects(path):
        for found in parse(record, where=where):
            texts = [m.content for m in found.messages if m.role != "system"]
            if len(texts) != 2 or found.pair is not None:
                raise DataError("a seed task is one question and one answer", where=where,
                                value=[m.role for m in found.messages])  # fmt: skip
            at = found.fields.get(INPUT_AT)
            cut = at if isinstance(at, int) else len(texts[0])
            given = texts[0][cut + 1 :] if cut else ""
            parts = ((texts[0][:cut] or texts[0]).strip(), given.strip(), texts[1].strip())
            seeds.append(Task(*parts, found.name(where)))
    if not seeds:
        raise DataError("no seed task", where=path)
    return seeds


@dataclass
class Made:
    """What a run has come to.

    Attributes:
        tasks: accepted, as they are written.
        rejected: the others, with reasons.
        requests: answers read, and how many of them were kept from before.
        tokens: of requests and answers, as the server counts them.
        reasons: tasks by reason; ``accepted`` is one.
        stopped: why it ended.
    """

    tasks: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    cached: int = 0
    tokens: int = 0
    finish: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    similarities: list[float] = field(default_factory=list)
    stopped: str = ""


class Generator:
    """Asks until it is enough.

    Args:
        seeds: written by people.
        client: who is asked.
        recipe: how, and how long.
        progress: is told of accepted tasks.
    """

    def __init__(self, seeds: Sequence[Task], client: Client, recipe: GenerateRecipe,
                 progress: Callable[[int], None] = lambda count: None) -> None:  # fmt: skip
        self.seeds, self.client, self.recipe = seeds, client, recipe
        self.made, self._progress = Made(), progress
        self._pool: list[Task] = []
        self._index, self._names = Pool(), list[str]()
        self._last: deque[bool] = deque(maxlen=recipe.acceptance_window)
        for seed in seeds:
            self._enter(seed)

    def run(self) -> Made:
        """Ask, read, judge.

        Raises:
            YanmoError: the endpoint fails for good; ``made`` holds what there is.
        """
        number = 0
        while not self.made.stopped:
            prompts = [self._prompt(number + place) for place in range(self._round(number))]
            requests = [self._request(prompt, number + i) for i, prompt in enumerate(prompts)]
            for prompt, answer in zip(prompts, self.client.ask_all(requests), strict=True):
                self._read(prompt, answer, number)
                number += 1
                self.made.stopped = self._enough(number)
                if self.made.stopped:
                    break
        return self.made

    def first_prompt(self) -> str:
        """What the first request says."""
        return self._prompt(0).text

    def _round(self, number: int) -> int:
        most = self.recipe.max_requests
        left = self.recipe.round_requests if most is None else most - number
        return min(self.recipe.round_requests, left)

    def _prompt(self, number: int) -> Prompt:
        rng = random.Random(f"{self.recipe.seed}:{number}")
        counts = (self.recipe.human_examples, self.recipe.machine_examples)
        examples = sample(self.seeds, self._pool, counts, rng)
        return prompt_of(examples, self.recipe.language, max(self.recipe.tasks_a_request,
                                                             len(examples) + 1))  # fmt: skip

    def _request(self, prompt: Prompt, number: int) -> Request:
        names = ("temperature", "top_p", "max_tokens")
        parameters = {name: getattr(self.recipe, name) for name in names}
        return Request([{"role": "user", "content": prompt.text}], parameters, number)

    def _read(self, prompt: Prompt, answer: Answer, number: int) -> None:
        made = self.made
        made.requests += 1
        made.cached += answer.cached
        made.tokens += answer.prompt_tokens + answer.completion_tokens
        made.finish[answer.finish_reason or "none"] += 1
        found = parse_tasks(answer.text, language=self.recipe.language, first=prompt.first,
                            cut=answer.finish_reason == "length")  # fmt: skip
        for place, parsed in enumerate(found):
            origin = {
                "id": f"{number:05d}-{place:02d}", "seed_ids": list(prompt.examples),
                "request_id": answer.key, "model": self.client.endpoint.model,
                "params": {"temperature": self.recipe.temperature, "top_p": self.recipe.top_p,
                           "max_tokens": self.recipe.max_tokens},
                "finish_reason": answer.finish_reason,
            }  # fmt: skip
            self._judge(parsed, origin)
            if len(made.tasks) >= self.recipe.max_tasks:
                break

    def _judge(self, parsed: Parsed, origin: dict[str, Any]) -> None:
        task = Task(*parsed.parts, origin["id"])
        reason = parsed.fault or refused(task, self.recipe.language, self.recipe.filters)
        similarity, nearest = 0.0, -1
        if not reason:
            similarity, nearest = self._index.nearest(task.instruction)
            self.made.similarities.append(similarity)
            most = self.recipe.filters.max_similarity
            reason = "similar" if most is not None and similarity > most else None
        content = {"instruction": task.instruction, "input": task.input, "output": task.output}
        told = {"sim_max": round(similarity, 4),
                "nearest_id": self._names[nearest] if nearest >= 0 else None,
                "lang": self.recipe.language}  # fmt: skip
        self.made.reasons[reason or "accepted"] += 1
        self._last.append(not reason)
        if reason:
            raw = {"raw": parsed.raw} if parsed.fault else {}
            self.made.rejected.append({"reason": reason, **content, **origin, **told, **raw})
        else:
            self.made.tasks.append({**content, **origin, **told})
            self._pool.append(task)
            self._enter(task)
            self._progress(1)

    def _enter(self, task: Task) -> None:
        self._index.add(task.instruction)
        self._names.append(task.id)

    def _enough(self, requests: int) -> str:
        """Why to stop; nothing if not yet."""
        recipe, made = self.recipe, self.made
        if len(made.tasks) >= recipe.max_tasks:
            return "tasks"
        if recipe.max_requests is not None and requests >= recipe.max_requests:
            return "requests"
        if recipe.max_total_tokens is not None and made.tokens >= recipe.max_total_tokens:
            return "tokens"
        last = self._last
        full = len(last) == last.maxlen
        if full and sum(last) < recipe.min_acceptance * len(last):
            return "acceptance"
        nothing = not made.reasons and requests >= recipe.acceptance_window // 10
        return "no_tasks" if nothing else ""


def distinct(texts: Sequence[Sequence[str]], size: int) -> float:
    """Distinct n-grams of tokens over all n-grams (Li et al. 2016)."""
    grams = [tuple(t[i : i + size]) for t in texts for i in range(len(t) - size + 1)]
    return len(set(grams)) / max(len(grams), 1)


def lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """JSON lines."""
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
