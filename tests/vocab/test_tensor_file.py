"""Safetensors files in pieces, against the library."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from yanmo.errors import DataError
from yanmo.vocab.tensor_file import Rows, decode, encode, header_bytes, raw_chunks, read_header

KINDS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(1)
    tensors = {
        name: torch.randn(37, 8, generator=generator).to(kind) for name, kind in KINDS.items()
    }
    tensors["vector"] = torch.arange(37, dtype=torch.float32)
    tensors["scalar"] = torch.tensor(3)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    return path


def test_the_header_is_that_of_the_library(file: Path) -> None:
    tensors, metadata = read_header(file)
    assert metadata == {"format": "pt"}
    with safe_open(file, framework="pt") as theirs:
        assert set(tensors) == set(theirs.keys())
        for name, tensor in tensors.items():
            slice_ = theirs.get_slice(name)
            assert tensor.shape == tuple(slice_.get_shape())
            assert tensor.dtype == slice_.get_dtype()


@pytest.mark.parametrize("name", [*KINDS, "vector"])
def test_rows_are_those_of_the_library(name: str, file: Path) -> None:
    rows = Rows(read_header(file)[0][name])
    truth = load_file(file)[name].double().numpy().reshape(37, -1)
    ids = np.array([0, 1, 2, 36, 5, 5, 6, 0])
    assert np.array_equal(rows.take(ids), truth[ids])
    assert np.array_equal(np.concatenate(list(rows.chunks(30))), truth[:30])
    assert rows.take(np.zeros(0, np.int64)).shape == (0, truth.shape[1])


def test_what_is_written_is_read_by_the_library(file: Path, tmp_path: Path) -> None:
    tensors, metadata = read_header(file)
    copy = tmp_path / "copy.safetensors"
    with copy.open("wb") as out:
        out.write(header_bytes({n: (t.dtype, t.shape) for n, t in tensors.items()}, metadata))
        for tensor in tensors.values():
            out.writelines(raw_chunks(file, tensor.start, tensor.end))
    mine, theirs = load_file(copy), load_file(file)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_bfloat16_is_rounded_as_torch_does(values: list[float]) -> None:
    mine = decode(encode(np.array(values), "BF16"), "BF16")
    theirs = torch.tensor(values, dtype=torch.float32).to(torch.bfloat16).double().numpy()
    assert np.array_equal(mine, theirs, equal_nan=True)


def test_a_float16_that_is_too_large_is_infinite() -> None:
    assert np.isinf(decode(encode(np.array([7e4]), "F16"), "F16")).all()


def _broken(file: Path, how: str) -> bytes:
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if how == "cut":
        return data[:-5]
    if how == "cut in the header":
        return data[: 8 + length // 2]
    if how == "empty":
        return b""
    if how == "no JSON":
        return data[:8] + b"x" * length + data[8 + length :]
    if how == "a gap":
        del header["F32"]
    if how == "a wrong shape":
        header["F16"]["shape"] = [36, 8]
    if how == "an unknown dtype":
        header["F16"]["dtype"] = "F7"
    if how == "longer":
        return data + b"more"
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


@pytest.mark.parametrize(
    "how",
    ["cut", "cut in the header", "empty", "no JSON", "a gap", "a wrong shape", "an unknown dtype",
     "longer"],
)  # fmt: skip
def test_damage_is_named(how: str, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "torn.safetensors"
    path.write_bytes(_broken(file, how))
    with pytest.raises(DataError, match="fetch or write it again") as caught:
        read_header(path)
    assert "torn.safetensors" in str(caught.value)


def test_rows_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "int.safetensors"
    tensors: dict[str, Any] = {"a": torch.zeros(4, 2, dtype=torch.int8), "b": torch.zeros(2, 2, 2)}
    save_file(tensors, path)
    found = read_header(path)[0]
    with pytest.raises(DataError, match="dtype I8"):
        Rows(found["a"])
    with pytest.raises(DataError, match="not a matrix"):
        Rows(found["b"])
