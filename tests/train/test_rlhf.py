"""What PPO and GRPO promise, on a model of two narrow layers that knows nothing at first."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from yanmo import recipe as recipes
from yanmo.errors import YanmoError
from yanmo.train import rlhf_update
from yanmo.train.distributed import World
from yanmo.train.folder import load_model
from yanmo.train.journal import read_journal
from yanmo.train.rlhf_experience import Experience, collect, mini_batches
from yanmo.train.rlhf_recipe import Grpo, Ppo, Rlhf
from yanmo.train.rlhf_setup import Run, Sources, prepare
from yanmo.train.rlhf_update import gradients, update
from yanmo.train.rollout import before_tokens, rows_of
from yanmo.train.scorer import load_scorer

from . import toys

HERE = World(torch.device("cpu"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a reward model, prompts."""
    folder = tmp_path_factory.mktemp("toys")
    toys.write_model(folder / "model")
    toys.write_scorer(folder / "reward")
    toys.write_prompts(folder / "prompts.jsonl")
    return folder


def sources(world: Path, reward: str = "share:7", **more: Any) -> Sources:
    name = str(world / "reward") if reward == "model" else reward
    return Sources(world / "prompts.jsonl", world / "model", name, **more)


def ready(world: Path, *overrides: str, reward: str = "model", kind: type[Rlhf] = Ppo) -> Run:
    base = toys.PPO if kind is Ppo else toys.GROUPS
    recipe: Rlhf = recipes.load(kind, overrides=(*base, *overrides))
    return prepare(recipe, sources(world, reward), world / "nowhere", HERE)


def slopes(run: Run) -> dict[str, torch.Tensor]:
    """All gradients by name, and then none."""
    named = [*run.policy_optimizer.parameters.items()]
    if run.value_optimizer is not None:
        named += [(f"value {n}", p) for n, p in run.value_optimizer.parameters.items()]
    found = {name: p.grad.clone() for name, p in named if p.grad is not None}
    rlhf_update._forget(run)
    return found


def test_at_the_first_update_the_ratio_is_one_and_the_kl_nought(world: Path) -> None:
    """Exactly: the same weights in the same shapes give the same bits."""
    run = ready(world, "rollout.temperature=0.7", "update.mini_batches=4")
    data = collect(run)
    assert data.facts["kl"] == data.facts["kl_k3"] == 0.0
    first = gradients(run, data, mini_batches(run.recipe, 0, 0)[0])
    assert (first.low, first.high) == (1.0, 1.0)
    assert first.means["approx_kl"] == 0.0
    assert data.facts["sampler_difference"] < 1e-5


def test_a_forward_at_another_temperature_is_noticed(world: Path) -> None:
    """So the test above can fail."""
    run = ready(world)
    data = collect(run)
    run.policy.temperature = 0.9
    first = gradients(run, data, mini_batches(run.recipe, 0, 0)[0])
    assert max(abs(first.low - 1), abs(first.high - 1)) > 1e-3


def test_a_bandit_has_the_gradient_of_the_closed_form(world: Path) -> None:
    """One token a response: the gradient is that of -mean(A log pi)."""
    run = ready(world, "rollout.max_tokens=1", "precision=float64", "update.mini_batches=1")
    data = collect(run)
    rows = list(range(len(data.responses)))
    gradients(run, data, rows)
    found = slopes(run)
    prompts = torch.tensor([prompt.ids for prompt in data.prompts])
    logs = run.policy.model.logits(prompts)[:, -1].log_softmax(-1)
    chosen = logs.gather(1, data.responses.tokens).squeeze(1)
    (-(data.advantages[:, 0] * chosen).mean()).backward()
    wanted = slopes(run)
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-9, atol=1e-12)
    # The same in closed form, for the bias that the head would have: sum of A (1[a] - p).
    one_hot = torch.nn.functional.one_hot(data.responses.tokens[:, 0], logs.shape[1])
    push = (data.advantages[:, :1] * (one_hot - logs.exp())).mean(0)
    logits = run.policy.model.logits(prompts)[:, -1].detach().requires_grad_()
    chosen = logits.log_softmax(-1).gather(1, data.responses.tokens).squeeze(1)
    (data.advantages[:, 0] * chosen).mean().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad.sum(0), push)


@pytest.mark.parametrize("kind", [Ppo, Grpo])
@pytest.mark.parametrize("how", ["token-mean", "seq-mean-token-mean"])
def test_micro_batches_change_nothing(world: Path, kind: type[Rlhf], how: str) -> None:
    """32 at once, 5 at a time, one by one: the same loss and gradient, though lengths differ."""
    seen = []
    for size in (32, 5, 1):
        run = ready(
            world, f"run.micro_samples={size}", "precision=float64", "kl.coefficient=0.1",
            f"update.aggregation={how}", "update.entropy=0.01", "update.mini_batches=1", kind=kind,
        )  # fmt: skip
        data = collect(run)
        batch = gradients(run, data, mini_batches(run.recipe, 0, 0)[0])
        seen.append((batch.means, slopes(run)))
    assert len(set(data.responses.lengths.tolist())) > 3
    for means, found in seen[1:]:
        assert means == pytest.approx(seen[0][0], abs=1e-12)
        assert found.keys() == seen[0][1].keys()
        for name, wanted in seen[0][1].items():
            torch.testing.assert_close(found[name], wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("algorithm", ["ppo", "grpo", "rloo"])
def test_the_reward_rises(world: Path, tmp_path: Path, algorithm: str, seed: int) -> None:
    if algorithm == "ppo":
        found = toys.run_ppo(sources(world), tmp_path / "r", "iterations=10", f"seed={seed}",
                             "run.sample_iterations=100")  # fmt: skip
    else:
        more = () if algorithm == "grpo" else ("group.advantage=rloo", "kl.place=reward")
        found = toys.run_grpo(sources(world), tmp_path / "r", "iterations=24", f"seed={seed}",
                              "run.sample_iterations=100", *more)  # fmt: skip
    assert found["algorithm"] == algorithm
    assert found["reward_after"] >= found["reward_before"] + 0.5
    assert found["first_ratio"] == 1.0
    assert found["first_kl"] == 0.0


@pytest.mark.parametrize("algorithm", ["ppo", "grpo", "rloo"])
def test_a_large_coefficient_holds_the_policy(world: Path, tmp_path: Path, algorithm: str) -> None:
    if algorithm == "ppo":
        found = toys.run_ppo(sources(world), tmp_path / "r", "iterations=8", "kl.coefficient=10")
    else:
        more = () if algorithm == "grpo" else ("group.advantage=rloo", "kl.place=reward")
        found = toys.run_grpo(sources(world), tmp_path / "r", "iterations=16",
                              "kl.coefficient=10", *more)  # fmt: skip
    assert abs(found["kl"]) < 0.5
    assert found["kl_k3"] < 0.5


def test_counting_is_learned_from_a_verifiable_answer(world: Path, tmp_path: Path) -> None:
    """Digit completion: after b comes 1, after c comes 2; a right answer is worth one."""
    lines = [
        f'{{"prompt": "{i:02d}{"bc"[i % 2]}", "answer": "{"12"[i % 2]}"}}\n' for i in range(60)
    ]
    (tmp_path / "p.jsonl").write_text("".join(lines))
    given = Sources(tmp_path / "p.jsonl", world / "model", "numeric")
    found = toys.run_grpo(
        given, tmp_path / "r", "iterations=40", "rollout.max_tokens=1", "rollout.samples=8",
        "optimizer.lr=0.01", "heldout.prompts=20", "run.sample_iterations=100",
    )  # fmt: skip
    assert found["reward_after"] >= found["reward_before"] + 0.5


def test_nothing_drops_out_and_the_reference_stays(world: Path) -> None:
    run = ready(world)
    for model in (run.policy, run.reference, run.value, run.reward.model):
        assert model is not None
        assert not any(part.training for part in model.modules())
        assert not any(isinstance(p, torch.nn.Dropout) and p.p > 0 for p in model.modules())
    data = collect(run)
    update(run, data)
    original = load_model(world / "model")
    for one, other, moved in zip(
        run.reference.model.parameters(), original.parameters(),
        run.policy.model.parameters(), strict=True,
    ):  # fmt: skip
        assert torch.equal(one, other)
        assert not one.requires_grad
        assert not torch.equal(one, moved)


def test_the_value_model_begins_as_the_normalised_reward_model(world: Path) -> None:
    run = ready(world)
    reward = load_scorer(world / "reward")
    assert run.value is not None
    before = {n: p.clone() for n, p in run.value.named_parameters()}
    for name, value in reward.named_parameters():
        assert torch.equal(before[name], value)
    data = collect(run)
    rows = rows_of(data.responses, HERE.device)
    with torch.no_grad():
        wanted = (reward(rows.tokens) - run.progress.shift) / run.progress.scale
    torch.testing.assert_close(data.values, before_tokens(wanted, rows), rtol=1e-4, atol=1e-4)
    assert run.value.backbone is not run.policy.model


def test_first_scores_have_mean_nought_and_deviation_one(world: Path) -> None:
    data = collect(ready(world))
    assert float(data.rewards.mean()) == pytest.approx(0, abs=1e-6)
    assert float(data.rewards.std()) == pytest.approx(1, abs=1e-6)
    plain = collect(ready(world, "reward.normalize=false"))
    assert torch.equal(plain.rewards, plain.scores.float())
    assert torch.equal(plain.scores, data.scores)


def test_a_response_without_an_end_gets_its_fixed_score(world: Path) -> None:
    data = collect(ready(world, "reward.missing_end_score=-1"))
    assert 0 < int(data.responses.stopped.sum()) < len(data.responses)
    assert (data.rewards[~data.responses.stopped] == -1).all()
    assert (data.rewards[data.responses.stopped] != -1).all()


def test_mini_batches_are_a_new_shuffle_in_every_epoch_and_iteration(world: Path) -> None:
    run = ready(world, "update.mini_batches=4")
    orders = [mini_batches(run.recipe, i, e) for i in range(2) for e in range(4)]
    for order in orders:
        assert [len(rows) for rows in order] == [8] * 4
        assert sorted(row for rows in order for row in rows) == list(range(32))
    assert len({str(order) for order in orders}) == len(orders)


def test_every_prompt_is_asked_once_a_pass_and_the_passes_differ(world: Path) -> None:
    from yanmo.train.rlhf_experience import prompt_at

    run = ready(world)
    count = len(run.prompts.prompts)
    passes = [[prompt_at(run, epoch * count + i).id for i in range(count)] for epoch in range(2)]
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(p.id for p in run.prompts.prompts)
    assert passes[0] != passes[1]


def test_settings_reach_the_optimisers(world: Path) -> None:
    run = ready(world, "optimizer.lr=0.003", "value.lr=0.001")
    assert run.value_optimizer is not None
    for optimizers, lr in ((run.policy_optimizer, 0.003), (run.value_optimizer, 0.001)):
        assert optimizers.settings.lr == lr
        for one in optimizers.all:
            assert one.defaults["eps"] == 1e-5
            assert all(group["weight_decay"] == 0 for group in one.param_groups)
        assert optimizers.settings.clip == 1.0


def test_the_rate_falls_to_nought_where_asked(world: Path) -> None:
    run = ready(world, "optimizer.schedule=linear", "iterations=4")
    shares = []
    for iteration in range(4):
        run.progress.iteration = iteration
        shares.append(rlhf_update.rate_share(run))
    assert shares == [1.0, 0.75, 0.5, 0.25]


def test_an_update_stops_when_it_went_too_far(world: Path) -> None:
    run = ready(world, "update.stop_kl=0.0001", "optimizer.lr=0.05", "update.mini_batches=2")
    done = update(run, collect(run))
    assert done.stopped
    assert len(done.taken) == 1
    assert all(p.grad is None for p in run.policy.parameters())


def test_the_adaptive_coefficient_moves_towards_its_target(world: Path, tmp_path: Path) -> None:
    found = toys.run_ppo(
        sources(world), tmp_path / "r", "iterations=3", "kl.target=1000", "kl.horizon=64",
        "kl.coefficient=0.5",
    )  # fmt: skip
    assert found["coefficient"] == pytest.approx(0.5 * (1 - 0.2 * 32 / 64) ** 3)


def test_a_loss_that_is_not_finite_stops_the_run(world: Path) -> None:
    run = ready(world)
    data = collect(run)
    broken = dataclasses.replace(data, advantages=data.advantages * math.nan)
    with pytest.raises(YanmoError, match="not finite"):
        update(run, broken)


NUMBERS = (
    "score", "rlhf_reward", "kl", "kl_k3", "entropy", "clip_share", "approx_kl", "ratio_min",
    "ratio_max", "response_tokens", "ended", "grad_norm", "advantage_deviation",
    "sampler_difference", "coefficient", "lr",
)  # fmt: skip


def test_the_log_says_what_happened_over_real_tokens(world: Path, tmp_path: Path) -> None:
    toys.run_ppo(sources(world, gold="share:7"), tmp_path / "p", "iterations=2")
    toys.run_grpo(sources(world), tmp_path / "g", "iterations=2")
    for name, more in (("p", ("explained_variance", "value_loss")), ("g", ("equal_groups",))):
        lines = read_journal(tmp_path / name)
        train = [e for e in lines if e["kind"] == "train"]
        assert [e["step"] for e in train] == [1, 2]
        for entry in train:
            assert all(isinstance(entry[key], float) for key in (*NUMBERS, *more))
        assert {e["kind"] for e in lines} == {"start", "train", "eval", "sample"}
        samples = [e for e in lines if e["kind"] == "sample"]
        assert all(e["text"] is not None and e["prompt"] for e in samples)


def test_entropy_and_length_are_those_of_the_responses(world: Path) -> None:
    """Against the dense computation, response by response."""
    data: Experience = collect(ready(world, "rollout.temperature=0.8"))
    model = load_model(world / "model")
    entropies: list[float] = []
    for row, prompt in enumerate(data.prompts):
        ids = data.responses.ids(row)
        with torch.no_grad():
            logits = model.logits(torch.tensor([[*prompt.ids, *ids]]))[0] / 0.8
        p = logits.double().softmax(-1).numpy()[len(prompt.ids) - 1 : -1]
        entropies += list(-(p * np.log(p)).sum(1))
    assert data.facts["entropy"] == pytest.approx(np.mean(entropies), abs=1e-5)
    assert data.facts["response_tokens"] * len(data.prompts) == len(entropies)
