"""Errors say what, where, the value and the fix, also after crossing a process border."""

import pickle

from yanmo.errors import DataError, RecipeError, YanmoError


def test_message_and_exit_code() -> None:
    error = DataError("too long", where="a.jsonl:3", value="x" * 500, fix="Cut it.")
    assert str(error).startswith("a.jsonl:3: too long, got 'xxx")
    assert str(error).endswith("…. Cut it.")
    assert (DataError.exit_code, RecipeError.exit_code) == (1, 2)


def test_pickle_keeps_all_fields() -> None:
    error = pickle.loads(pickle.dumps(RecipeError("bad", where="w", value=1, fix="f")))
    assert isinstance(error, YanmoError)
    assert (error.what, error.where, error.value, error.fix) == ("bad", "w", 1, "f")
