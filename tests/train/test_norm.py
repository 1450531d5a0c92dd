"""Norm and rotation against their plain formulas under autograd."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from yanmo.train.norm import rms_norm
from yanmo.train.rope import rotate


def _plain_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


def _drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 17), st.floats(1e-8, 1.0))
def test_norm_and_its_derivative(rows: int, inner: int, width: int, eps: float) -> None:
    x, weight = _drawn(rows, inner, width).requires_grad_(), _drawn(width, seed=1).requires_grad_()
    slope = _drawn(rows, inner, width, seed=2)
    ours, plain = rms_norm(x, weight, eps), _plain_norm(x, weight, eps)
    torch.testing.assert_close(ours, plain, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (x, weight), slope),
        torch.autograd.grad(plain, (x, weight), slope), atol=1e-10, rtol=1e-8,
    )  # fmt: skip


def test_norm_of_zeros_is_finite() -> None:
    x = torch.zeros(2, 8, requires_grad=True)
    out = rms_norm(x, torch.ones(8), 1e-5)
    out.sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert not out.any()


def test_a_frozen_norm_gets_no_gradient() -> None:
    x, weight = _drawn(3, 8).requires_grad_(), _drawn(8, seed=1)
    rms_norm(x, weight, 1e-5).sum().backward()
    assert weight.grad is None
    assert x.grad is not None


def test_narrow_types_have_statistics_in_float32() -> None:
    """In bfloat16 the mean square of 300 would be far off."""
    x = torch.full((1, 4096), 300.0, dtype=torch.bfloat16)
    out = rms_norm(x, torch.ones(4096, dtype=torch.bfloat16), 1e-6)
    torch.testing.assert_close(out, torch.ones_like(out))


@pytest.mark.parametrize("rows", [1, 2])
def test_rotation_and_its_derivative(rows: int) -> None:
    x = _drawn(2, 5, 3, 8).requires_grad_()
    cos, sin = _drawn(rows, 5, 1, 4, seed=1), _drawn(rows, 5, 1, 4, seed=2)
    a, b = x.chunk(2, dim=-1)
    plain = torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
    ours = rotate(x, cos, sin)
    slope = _drawn(2, 5, 3, 8, seed=3)
    torch.testing.assert_close(ours, plain, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(
        torch.autograd.grad(ours, x, slope), torch.autograd.grad(plain, x, slope),
        atol=1e-12, rtol=1e-12,
    )  # fmt: skip


def test_rotated_heads_keep_their_type() -> None:
    """Under autocast heads are bfloat16 and angles float32; attention wants heads as they were."""
    x = _drawn(1, 4, 2, 8, dtype=torch.bfloat16)
    cos, sin = torch.ones(1, 4, 1, 4), torch.zeros(1, 4, 1, 4)
    assert torch.equal(rotate(x, cos, sin), x)
