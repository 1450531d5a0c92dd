"""The benches of training: equal work, the talk between steps, and a machine without a GPU."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import gpu, training
from bench.gemm import flops, model_shapes
from bench.training_work import SHAPE, Work, prepare
from yanmo.train.folder import load_model


def test_every_trainer_gets_the_same_rows(tmp_path: Path) -> None:
    """The array is what our loader gives, and the weights are those of the folder."""
    order = prepare(tmp_path, Work(vocabulary=300, batch=2, tokens=16, steps=5))
    rows = np.load(order["rows"])
    assert rows.shape == (10, 17)
    assert (rows[:, 0] == 1).all()
    assert (rows[:, -1] == 2).all()
    assert load_model(order["model"]).config.vocab_size == 300


def test_a_trainer_waits_between_steps(tmp_path: Path) -> None:
    """Our own side through the same talk as the peers: losses fall, and each turn is answered."""
    order = prepare(tmp_path, Work(vocabulary=300, batch=2, tokens=32, steps=12))
    with training.training("yanmo", order, training.PLAIN, threads=1) as (peer, side):
        training.advance(peer, side, 3, timed=False)
        training.advance(peer, side, 6, timed=True)
    assert len(side.losses) == 10
    assert side.losses[-1] < side.losses[0]
    assert side.losses[0] == pytest.approx(np.log(300), abs=0.3)
    assert len(side.wall) == len(side.processor) == 1
    assert side.peak > 100e6


def test_other_work_is_void() -> None:
    ours = training.Side(1.0, [5.0, 4.0, 3.0])
    same = training.Side(1.0, [5.00001, 4.0002, 3.0])
    other_start = training.Side(1.0, [5.01, 4.0, 3.0])
    other_end = training.Side(1.0, [5.0, 4.0, 3.1])
    assert training.equal(training.apart(ours, same))
    assert not training.equal(training.apart(ours, other_start))
    assert not training.equal(training.apart(ours, other_end))


def test_rows_and_claims_of_a_race() -> None:
    """Twice the time is half the speed; a trainer whose losses leave ours has no row."""
    from bench.rounds import Result

    ours = training.Side(1.0, [9.0, 8.0], [1.0, 1.0], [2.0, 2.0], 400)
    slow = training.Side(1.0, [9.0, 8.0], [2.0, 2.0], [4.0, 4.0], 800)
    other = training.Side(1.0, [9.0, 7.0], [0.1, 0.1], [0.1, 0.1], 1)
    result = Result("", [], data={"55k": {}})
    sides = {"yanmo": ours, "HF Trainer": slow, "litgpt": other}
    training._add(
        result, ("55k", "defaults"), sides, {"cube": 1e12, "model": 5e11, "processor": 1e12}
    )
    assert [row[2:4] for row in result.rows] == [["yanmo", 2048], ["HF Trainer", 1024]]
    assert any("litgpt is void" in note for note in result.notes)
    gains = {claim.text: (claim.value, claim.met) for claim in result.claims}
    assert gains["55k defaults: tokens/s against HF Trainer"] == (2.0, True)
    assert gains["55k defaults: peak memory against HF Trainer"] == (0.5, True)


def test_products_are_counted() -> None:
    speed = flops([(64, 64, 64)], dtype=torch.float32, device=torch.device("cpu"), repeats=2)
    assert 1e7 < speed < 1e15
    assert model_shapes(SHAPE, 8192, 2048)[-1] == (2048, 256, 8192)


def test_without_a_gpu_it_says_what_it_would_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu", "124m"])
    gpu.main()
    said = capsys.readouterr().out
    assert "no CUDA device" in said
    assert "yanmo train pretrain" in said
    assert "run.compile=blocks" in said
    assert "1.1b" not in said
    monkeypatch.setattr(sys, "argv", ["gpu", "125m"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "125m" in capsys.readouterr().err


def test_the_steps_of_a_gpu_are_timed_on_a_cpu_too() -> None:
    case = gpu.Case("nano", 32, 2, 4, extra=(
        "run.compile=off", "run.device=cpu", "precision=float32", "model.width=32",
        "model.ffn_width=32",
    ))  # fmt: skip
    found = gpu.measure(case, 3, warm_up=1)
    assert found.tokens_per_second > 0
    assert found.attention == "sdpa"
    card = {"matmul": 1e12, "sheet": None, "memory": 1 << 30}
    assert len(gpu.row("nano", case, found, card)) == len(gpu.COLUMNS)


def test_what_limits_is_named() -> None:
    assert gpu.limit(0.7, 0.9) == "matrix products"
    assert "micro_sequences" in gpu.limit(0.3, 0.2)
    assert "memory traffic" in gpu.limit(0.3, 0.9)


def test_planned_cases_fit_a_card_of_80_gb() -> None:
    for case in gpu.CASES.values():
        assert gpu.planned(case)["planned_gib"] < 80e9 / 2**30 * 0.92
        assert dataclasses.replace(case, recompute=True).overrides != case.overrides
