"""The chunked loss against the dense one in float64, and the sums that make accumulation exact."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from yanmo.train.loss import IGNORED, linear_cross_entropy


def _case(rows: int = 23, *, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, 16, generator=generator, dtype=dtype).requires_grad_()
    weight = torch.randn(50, 16, generator=generator, dtype=dtype).requires_grad_()
    labels = torch.randint(0, 50, (rows,), generator=generator)
    labels[::5] = IGNORED
    return hidden, weight, labels


def _dense(hidden: Tensor, weight: Tensor, labels: Tensor, z_loss: float = 0.0) -> Tensor:
    logits = hidden.double() @ weight.double().T
    total = F.cross_entropy(logits, labels, reduction="sum", ignore_index=IGNORED)
    z = logits.logsumexp(1)[labels != IGNORED]
    return total + z_loss * z.square().sum()


@pytest.mark.parametrize("z_loss", [0.0, 0.01])
@pytest.mark.parametrize("chunk_rows", [1, 4, 7, 1000])
def test_chunks_equal_the_dense_loss_and_its_gradients(chunk_rows: int, z_loss: float) -> None:
    hidden, weight, labels = _case()
    loss = linear_cross_entropy(
        hidden, weight, labels, z_loss=z_loss, chunk_bytes=chunk_rows * 50 * 8
    )
    dense = _dense(hidden, weight, labels, z_loss)
    torch.testing.assert_close(loss.total, dense, atol=1e-12, rtol=1e-12)
    # Scaled upstream, as the division by the batch's targets does it.
    ours = torch.autograd.grad(loss.total / 17, (hidden, weight))
    theirs = torch.autograd.grad(dense / 17, (hidden, weight))
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


def test_float32_stays_near_float64() -> None:
    hidden, weight, labels = _case(dtype=torch.float32)
    loss = linear_cross_entropy(hidden, weight, labels, chunk_bytes=600)
    dense = _dense(hidden, weight, labels)
    assert loss.total.item() == pytest.approx(dense.item(), rel=1e-6)
    ours = torch.autograd.grad(loss.total, (hidden, weight))
    theirs = torch.autograd.grad(dense, (hidden, weight))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_it_is_the_derivative_of_itself() -> None:
    """Finite differences, which know nothing of the formula."""
    hidden, weight, labels = _case()
    generator = torch.Generator().manual_seed(1)
    loss = linear_cross_entropy(hidden, weight, labels, z_loss=0.1)
    slopes = torch.autograd.grad(loss.total, (hidden, weight), retain_graph=True)
    way = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in (hidden, weight)]
    with torch.no_grad():
        ahead, behind = (
            linear_cross_entropy(hidden + s * way[0], weight + s * way[1], labels, z_loss=0.1).total
            for s in (1e-6, -1e-6)
        )
    expected = sum(((a * b).sum() for a, b in zip(slopes, way, strict=True)), torch.zeros(()))
    assert ((ahead - behind) / 2e-6).item() == pytest.approx(expected.item(), rel=1e-6)
    with pytest.raises(RuntimeError, match="once"):
        torch.autograd.grad(loss.total, (hidden, weight))


def test_rows_say_where_each_loss_is_from() -> None:
    hidden, weight, labels = _case()
    loss = linear_cross_entropy(hidden, weight, labels, chunk_bytes=900)
    expected = F.cross_entropy(hidden @ weight.T, labels, reduction="none", ignore_index=IGNORED)
    assert loss.rows.tolist() == [i for i, y in enumerate(labels.tolist()) if y != IGNORED]
    assert loss.targets == len(loss.rows) == len(loss.nll)
    torch.testing.assert_close(loss.nll, expected[loss.rows].detach(), atol=1e-12, rtol=1e-12)
    assert not loss.nll.requires_grad


def test_a_batch_without_targets_gives_zeros_and_keeps_the_graph() -> None:
    """A rank whose rows are all masked must still take part in the backward pass."""
    hidden, weight, labels = _case()
    loss = linear_cross_entropy(hidden, weight, torch.full_like(labels, IGNORED))
    assert loss.targets == 0
    assert loss.total.item() == 0.0
    loss.total.backward()
    for value in (hidden, weight):
        assert value.grad is not None
        assert torch.equal(value.grad, torch.zeros_like(value))


def test_no_gradient_is_computed_where_none_is_wanted() -> None:
    hidden, weight, labels = _case()
    with torch.no_grad():
        loss = linear_cross_entropy(hidden, weight, labels)
    assert not loss.total.requires_grad
    frozen = weight.detach()
    (slope,) = torch.autograd.grad(linear_cross_entropy(hidden, frozen, labels).total, hidden)
    (expected,) = torch.autograd.grad(_dense(hidden, weight, labels), hidden)
    torch.testing.assert_close(slope, expected, atol=1e-12, rtol=1e-12)


def test_logits_far_from_zero_do_not_overflow() -> None:
    hidden, weight, labels = _case(dtype=torch.float32)
    with torch.no_grad():
        loss = linear_cross_entropy(hidden * 1000, weight * 1000, labels)
    dense = _dense(hidden * 1000, weight * 1000, labels)
    assert loss.total.item() == pytest.approx(dense.item(), rel=1e-5)


@pytest.mark.parametrize("masked", [0, 3, 11])
def test_sums_of_unequal_parts_are_the_sum_of_the_whole(masked: int) -> None:
    """The part that a mean of means gets wrong."""
    hidden, weight, labels = _case(24)
    labels[:masked] = IGNORED
    whole = linear_cross_entropy(hidden, weight, labels)
    expected: tuple[Any, ...] = torch.autograd.grad(whole.total / whole.targets, (hidden, weight))
    parts = [
        linear_cross_entropy(h, weight, y)
        for h, y in zip(hidden.split([1, 2, 16, 5]), labels.split([1, 2, 16, 5]), strict=True)
    ]
    count = sum(part.targets for part in parts)
    assert count == whole.targets
    total = torch.stack([part.total for part in parts]).sum() / count
    torch.testing.assert_close(
        torch.autograd.grad(total, (hidden, weight)), expected, atol=1e-12, rtol=1e-12
    )


def test_bfloat16_under_autocast_is_near_float32() -> None:
    hidden, weight, labels = _case(dtype=torch.float32)
    exact = linear_cross_entropy(hidden, weight, labels)
    slopes = torch.autograd.grad(exact.total, (hidden, weight))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = linear_cross_entropy(hidden, weight, labels, chunk_bytes=1000)
    assert narrow.total.item() == pytest.approx(exact.total.item(), rel=0.02)
    rough = torch.autograd.grad(narrow.total, (hidden, weight))
    for a, b in zip(rough, slopes, strict=True):
        assert a.dtype == torch.float32
        assert ((a - b).norm() / b.norm()).item() < 0.02
