"""Packed must equal alone: in what comes out and in what flows back."""

import itertools
import random
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import UsageError
from yanmo.train import attention as module
from yanmo.train.attention import Documents, attention, documents_from_lengths, equal_runs
from yanmo.train.config import ModelConfig
from yanmo.train.model import build

Tiny = Callable[..., ModelConfig]
LENGTHS = [[5, 1, 10], [16], [1] * 8 + [8], [8, 8]]


def _heads(rows: int, tokens: int, *, heads: int, keys: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(rows, tokens, n, 8, generator=generator, dtype=torch.float64).requires_grad_()
        for n in (heads, keys, keys)
    )


@pytest.fixture(params=["eager", "mask", "loop", "sdpa"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way to compute it; ``mask`` and ``loop`` are the two that ``sdpa`` chooses between."""
    if request.param in ("mask", "loop"):
        monkeypatch.setattr(module, "loop_is_cheaper", lambda *_: request.param == "loop")
        return "sdpa"
    return str(request.param)


@pytest.mark.parametrize("keys", [4, 2, 1])
def test_packed_equals_each_document_alone(backend: str, keys: int) -> None:
    """The oracle knows nothing of packing: plain softmax over the past of one document."""
    q, k, v = _heads(len(LENGTHS), 16, heads=4, keys=keys)
    weights = torch.randn(4, 16, 4, 8, dtype=torch.float64, generator=torch.Generator())
    out = attention(q, k, v, documents_from_lengths(LENGTHS), backend=backend)
    packed = torch.autograd.grad((out * weights).sum(), (q, k, v))
    alone = torch.zeros_like(out)
    for row, counts in enumerate(LENGTHS):
        at = 0
        for n in counts:
            span = slice(at, at + n)
            for head in range(4):
                one = (x[row, span, head * x.shape[2] // 4] for x in (q, k, v))
                alone[row, span, head] = _by_hand(*one)
            at += n
    torch.testing.assert_close(out, alone, atol=1e-12, rtol=1e-12)
    expected = torch.autograd.grad((alone * weights).sum(), (q, k, v))
    torch.testing.assert_close(packed, expected, atol=1e-12, rtol=1e-12)


def _by_hand(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    rows = []
    for i in range(len(q)):
        scores = torch.stack([q[i] @ k[j] / 8**0.5 for j in range(i + 1)])
        shares = scores.exp() / scores.exp().sum()
        rows.append(sum((shares[j] * v[j] for j in range(i + 1)), torch.zeros(8)))
    return torch.stack(rows)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.booleans())
def test_loop_and_mask_agree_for_any_packing(lengths: list[int], doubled: bool) -> None:
    rows = [lengths, lengths[::-1]] if doubled else [lengths]
    q, k, v = _heads(len(rows), sum(lengths), heads=2, keys=1)
    documents = documents_from_lengths(rows)
    loop = module._each_document(q, k, v, documents.lengths)
    torch.testing.assert_close(loop, module._dense(q, k, v, documents.mask), atol=1e-12, rtol=1e-9)


def test_model_packed_equals_model_alone(backend: str, tiny: Tiny) -> None:
    """Logits and every parameter's gradient, in float64."""
    lengths = [7, 1, 12, 4]
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 61, (1, 24), generator=generator)
    labels = torch.randint(0, 61, (1, 24), generator=generator)
    packed = build(tiny(), seed=0, dtype=torch.float64)
    alone = build(tiny(), seed=0, dtype=torch.float64)
    packed.backend = backend
    documents = documents_from_lengths([lengths])
    packed(tokens, labels, documents).total.backward()
    logits = []
    for piece, answer in zip(tokens.split(lengths, 1), labels.split(lengths, 1), strict=True):
        logits.append(alone.logits(piece))
        alone(piece, answer).total.backward()
    torch.testing.assert_close(
        packed.logits(tokens, documents), torch.cat(logits, 1), atol=1e-12, rtol=1e-12
    )
    for a, b in zip(packed.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-12, rtol=1e-12)


def test_a_document_cannot_see_another(backend: str, tiny: Tiny) -> None:
    """Changing one document leaves the logits of the next one the same bits."""
    model = build(tiny(), seed=0)
    model.backend = backend
    documents = documents_from_lengths([[6, 10]])
    tokens = torch.arange(16)[None]
    changed = tokens.clone()
    changed[0, :6] += 20
    with torch.no_grad():
        before, after = model.logits(tokens, documents), model.logits(changed, documents)
    assert torch.equal(before[:, 6:], after[:, 6:])
    assert not torch.equal(before[:, :6], after[:, :6])


def test_transformers_isolates_the_same_way(tiny: Tiny) -> None:
    """Positions that restart and no mask are how transformers is told of packed documents."""
    from transformers import AutoConfig, AutoModelForCausalLM

    model = build(tiny(), seed=0)
    theirs = AutoModelForCausalLM.from_config(AutoConfig.for_model(**tiny().to_hf()))
    theirs.load_state_dict(model.state_dict())
    documents = documents_from_lengths([[6, 10]])
    tokens = torch.arange(16)[None]
    with torch.no_grad():
        expected = theirs(tokens, position_ids=documents.positions, use_cache=False).logits
        torch.testing.assert_close(model.logits(tokens, documents), expected, atol=1e-5, rtol=1e-5)


def test_documents_describe_rows() -> None:
    documents = documents_from_lengths([[2, 1], [3]])
    assert documents.starts.tolist() == [[0, 0, 2], [0, 0, 0]]
    assert documents.positions.tolist() == [[0, 1, 0], [0, 1, 2]]
    assert documents.mask[0, 0].tolist() == [
        [True, False, False],
        [True, True, False],
        [False, False, True],
    ]
    assert not documents.single
    assert documents_from_lengths([[3], [3]]).single


@pytest.mark.parametrize("lengths", [[[2, 1], [2]], [[2, 0]], [[3, -1]]])
def test_rows_that_cannot_be_stacked_are_refused(lengths: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="stacked"):
        documents_from_lengths(lengths)


def test_equal_runs_code_the_list() -> None:
    rng = random.Random(0)
    for _ in range(50):
        lengths = [rng.randint(1, 3) for _ in range(rng.randint(0, 12))]
        runs = equal_runs(lengths)
        assert [n for n, count in runs for _ in range(count)] == lengths
        assert all(a != b for (a, _), (b, _) in itertools.pairwise(runs))


def test_many_short_documents_are_looped_and_small_rows_masked() -> None:
    assert module.loop_is_cheaper(((64,) * 32,) * 2, heads=8)
    assert module.loop_is_cheaper(((1000, 1048),), heads=8)
    assert not module.loop_is_cheaper(((3, 5, 7, 1, 4, 12),) * 8, heads=4)


def test_an_unknown_backend_is_refused() -> None:
    q, k, v = _heads(1, 4, heads=2, keys=2)
    with pytest.raises(UsageError, match=r"backend.*sdpa"):
        attention(q, k, v, backend="flash")


def test_documents_move_between_devices() -> None:
    documents = documents_from_lengths([[2, 1]])
    moved = documents.to(torch.device("cpu"))
    assert isinstance(moved, Documents)
    assert torch.equal(moved.starts, documents.starts)
