"""Log-probabilities in chunks: equal to the dense form, values and gradients."""

import pytest
import torch

from yanmo.train.log_probabilities import linear_log_probabilities


def dense(hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (hidden @ weight.T).log_softmax(1).gather(1, labels[:, None]).squeeze(1)


@pytest.mark.parametrize("chunk_rows", [1, 3, 7, 100])
def test_chunks_equal_the_dense_form_in_float64(chunk_rows: int) -> None:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(17, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(31, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(31, (17,), generator=generator)
    # Any function of the log-probabilities, not their sum alone.
    upstream = torch.randn(17, generator=generator, dtype=torch.float64)
    want = dense(hidden, weight, labels)
    want_slopes = torch.autograd.grad((want.sin() * upstream).sum(), (hidden, weight))
    found = linear_log_probabilities(hidden, weight, labels, chunk_bytes=chunk_rows * 31 * 8)
    slopes = torch.autograd.grad((found.sin() * upstream).sum(), (hidden, weight))
    torch.testing.assert_close(found, want, rtol=0, atol=1e-12)
    for one, other in zip(slopes, want_slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_the_gradient_is_that_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(6, (5,), generator=generator)
    assert torch.autograd.gradcheck(
        lambda h, w: linear_log_probabilities(h, w, labels, chunk_bytes=2 * 6 * 8), (hidden, weight)
    )


def test_bfloat16_is_summed_in_float32() -> None:
    hidden = torch.randn(9, 16, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(40, 16, dtype=torch.bfloat16)
    labels = torch.arange(9)
    found = linear_log_probabilities(hidden, weight, labels)
    assert found.dtype == torch.float32
    want = dense(hidden.float(), weight.float(), labels)
    torch.testing.assert_close(found, want, rtol=0, atol=0.1)
    found.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.dtype == torch.bfloat16


def test_no_target_is_no_error() -> None:
    hidden = torch.zeros(0, 4, requires_grad=True)
    found = linear_log_probabilities(hidden, torch.zeros(6, 4), torch.zeros(0, dtype=torch.int64))
    found.sum().backward()
    assert found.shape == (0,)
