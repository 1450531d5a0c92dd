"""Labels around a threshold, and the threshold suggested from them."""

import json
from pathlib import Path
from random import Random

import pytest

from tests.command import Ended, command
from yanmo.curate.inspect_rule import Candidate, Label, Question, ask, read_labels, suggest
from yanmo.errors import DataError

RULE = "max_digit_fraction"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over texts with a growing share of digits; the rule cuts at 0.3."""
    folder = tmp_path_factory.mktemp("inspect")
    random = Random(7)
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(120):
            words = ["the", "people", "have", "of", "that", "walked", "to", "and", "with", "river"]
            text = ""
            while len(text) < 900:
                digits = str(random.randrange(10**6)) if random.random() < number / 150 else ""
                text += f"{random.choice(words)} {digits} {random.choice(words)}. "
            stream.write(json.dumps({"text": text, "url": f"https://a.example/{number}"}) + "\n")
    out = folder / "run"
    flags = ("--set", "duplicates.near=false", "--set", "duplicates.exact=false")
    only = (
        "--set", "rules.en.max_duplicate_line_char_fraction=off",
        "--set", "rules.en.min_alphabetic_word_fraction=off",
        "--set", "rules.en.max_top_2_gram_char_fraction=off",
        "--set", "rules.en.min_mean_word_chars=off",
    )  # fmt: skip
    assert (
        command("curate", "run", folder / "texts.jsonl", "--out", out, "-q", *flags, *only).code
        == 0
    )
    return out


def inspect(run: Path, labels: Path, answers: str, *more: object) -> Ended:
    return command("curate", "inspect", run, "--rule", RULE, "--labels", labels, *more,
                   stdin=answers.encode())  # fmt: skip


def test_the_nearest_documents_of_both_sides_are_drawn_by_strata(run: Path) -> None:
    question = ask(run, RULE, samples=40)
    assert (question.route, question.signal, question.threshold) == ("en", "digit_fraction", 0.3)
    kept = [item for item in question.candidates if item.kept]
    gone = [item for item in question.candidates if not item.kept]
    assert len(kept) == len(gone) == 20
    assert all(item.value <= 0.3 for item in kept)
    assert all(item.value > 0.3 for item in gone)
    assert ask(run, RULE, samples=40) == question
    # A document stands for its stratum: together they stand for all.
    whole = sum(item.weight for item in question.candidates)
    funnel = json.loads((run / "funnel.json").read_text())
    assert whole == pytest.approx(funnel["kept"] + funnel["dropped"][RULE])


def test_labels_are_kept_and_the_next_call_goes_on(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    first = inspect(run, path, "k\nx\nd\ns\nq\n")
    assert first.code == 0, first.err
    assert [label.label for label in read_labels(path)] == ["keep", "drop"]
    assert "10 labels of both kinds are needed" in first.out
    assert first.err.count("keep (k), drop (d)") == 5  # x is no key, and is asked again
    assert "[1/40]" in first.err
    second = inspect(run, path, "k\n")
    assert "[1/38]" in second.err
    assert len(read_labels(path)) == 3
    assert len({label.id for label in read_labels(path)}) == 3


def test_a_reader_who_would_cut_elsewhere_is_understood(run: Path, tmp_path: Path) -> None:
    path, wish = tmp_path / "labels.jsonl", 0.2
    question = ask(run, RULE, samples=80)
    answers = "".join("k\n" if item.value <= wish else "d\n" for item in question.candidates)
    ended = inspect(run, path, answers, "--samples", 80, "--json")
    found = ended.json()["suggestion"]
    values = sorted(item.value for item in question.candidates)
    below = max(value for value in values if value <= wish)
    above = min(value for value in values if value > wish)
    assert below <= found["threshold"] <= above
    assert found["interval"][0] <= found["threshold"] <= found["interval"][1]
    assert found["wrong_after"] == 0
    wrong = sum(c.weight for c in question.candidates if wish < c.value <= 0.3)
    assert found["wrong_before"] == pytest.approx(
        wrong / sum(c.weight for c in question.candidates)
    )
    told = inspect(run, path, "", "--samples", 80).out
    assert f"whatif {run} --set rules.en.{RULE}=" in told
    assert (command("curate", "whatif", run, "--set", f"rules.en.{RULE}={found['threshold']}",
                    "-q").code == 0)  # fmt: skip


@pytest.mark.parametrize("rule", ["min_words", "max_words"])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_has_fewer_wrong_verdicts(rule: str, seed: int) -> None:
    random = Random(seed)
    labels = [Label(rule, "zh", str(i), random.choice(["keep", "drop"]), random.random(),
                    random.choice([1.0, 2.5])) for i in range(30)]  # fmt: skip
    question = Question(rule, "zh", "n_words", 0.5, (Candidate("0", 0.5, True, 1.0),))
    found = suggest(question, labels)
    assert found is not None

    def wrong(threshold: float) -> float:
        total = 0.0
        for label in labels:
            passes = label.value >= threshold if rule[:3] == "min" else label.value <= threshold
            total += label.weight * (passes != (label.label == "keep"))
        return total / sum(label.weight for label in labels)

    assert found.wrong_after == pytest.approx(wrong(found.threshold))
    assert found.wrong_before == pytest.approx(wrong(0.5))
    assert found.wrong_after <= min(wrong(k / 500 - 0.5) for k in range(1001)) + 1e-12
    assert suggest(question, labels[:9]) is None


def test_mistakes_are_told(run: Path, tmp_path: Path) -> None:
    wrong = command("curate", "inspect", run, "--rule", "max_digits_fraction")
    assert wrong.code == 2
    assert "Did you mean 'max_digit_fraction'" in wrong.err
    assert "It is on for" in command("curate", "inspect", run, "--rule", RULE, "--route", "xx").err
    path = tmp_path / "labels.jsonl"
    path.write_text('{"rule": "a"}\n')
    with pytest.raises(DataError, match="line 1"):
        read_labels(path)
