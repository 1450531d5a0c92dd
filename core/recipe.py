"""Recipes: TOML in, frozen dataclasses out, and back again.

A recipe holds all that changes results. Defaults live in the dataclass and nowhere else; an unknown
key, a wrong type and a value out of range are errors that name the key and the fix. ``None`` is
written ``"off"`` in TOML; ``0`` is zero.
"""

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Union, cast

from yanmo.errors import RecipeError

T = TypeVar("T")
OFF = "off"


def setting(
    default: Any = dataclasses.MISSING,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str] | None = None,
    source: str | None = None,
    help: str | None = None,
) -> Any:
    """A dataclass field with its bounds (both inclusive), its help text, and where it is from."""
    metadata = {"low": low, "high": high, "choices": choices, "source": source, "help": help}
    if isinstance(default, list | dict | set):
        raise TypeError("a default must be immutable; use a tuple or a nested dataclass")
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def load(cls: type[T], path: str | Path | None = None, overrides: Iterable[str] = ()) -> T:
    """Read a recipe.

    Args:
        cls: the frozen dataclass that describes it.
        path: TOML file; without one all is default.
        overrides: ``table.key=value`` strings, later ones win. The value is TOML; a bare word is
            taken as a string.

    Raises:
        RecipeError: the file is missing or no TOML, a key is unknown, a type or a range is wrong.
    """
    table = {} if path is None else _read(path)
    for override in overrides:
        _apply_override(table, override)
    try:
        return from_table(cls, table, where="--set")
    except RecipeError as error:
        if path is None:
            raise
        try:  # whose fault is it?
            from_table(cls, _read(path), where=str(path))
        except RecipeError as own:
            if own.what == error.what:
                raise own from None
        raise


def _read(path: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError("no such recipe file", where=path) from None
    except OSError as error:
        raise RecipeError(f"cannot open the recipe ({error.strerror})", where=path) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"not TOML: {error}", where=path) from None


def _apply_override(table: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise RecipeError("an override has no '='", where="--set", value=override,
                          fix="Write table.key=value.")  # fmt: skip
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *parents, last = key.strip().split(".")
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise RecipeError(f"'{parent}' is not a table", where="--set", value=override)
    table[last] = value


def from_table(
    cls: type[T], table: Mapping[str, Any], *, where: str, path: str = "", base: T | None = None
) -> T:
    """Build a frozen dataclass from parsed TOML; see :func:`load`.

    What the table leaves out is as in ``base``: the default of a nested table is an instance, which
    may differ from what its class has by default.
    """
    fields = {field.name: field for field in dataclasses.fields(cast(Any, cls))}
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, raw in table.items():
        full = f"{path}.{key}" if path else key
        if key not in fields:
            raise RecipeError(f"unknown key '{full}'", where=where,
                              fix=did_you_mean(key, fields))  # fmt: skip
        default = fields[key].default if base is None else getattr(base, key)
        if dataclasses.is_dataclass(default) and isinstance(raw, dict):
            kind = cast(type[Any], type(default))
            values[key] = from_table(kind, raw, where=where, path=full, base=default)
        else:
            values[key] = _convert(hints[key], raw, where=where, path=full)
        _check_range(fields[key], values[key], where=where, path=full)
    if base is not None:
        values = {name: getattr(base, name) for name in fields} | values
    for name, field in fields.items():
        missing = field.default is dataclasses.MISSING
        if name not in values and missing and field.default_factory is dataclasses.MISSING:
            full = f"{path}.{name}" if path else name
            told = field.metadata.get("help") or "It has no default."
            given = None if where == "--set" else where
            raise RecipeError(f"key '{full}' is required", where=given,
                              fix=f"{told} Set it in the recipe or by --set {full}=…")  # fmt: skip
    try:
        return cls(**values)
    except RecipeError as error:
        raise RecipeError(error.what, where=error.where or where, value=error.value,
                          fix=error.fix) from None  # fmt: skip


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The sentence that follows an unknown name: the nearest known one, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(names)}."


def _type_name(kind: Any) -> str:
    plain = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
    if kind in plain:
        return plain[kind]
    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = [_type_name(k) for k in typing.get_args(kind) if k is not type(None)]
        return " or ".join([*inner, '"off"'])
    if origin is tuple:
        return f"a list, each {_type_name(typing.get_args(kind)[0])}"
    return "a table"


def _convert(kind: Any, raw: Any, *, where: str, path: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        if raw == OFF and type(None) in arguments:
            return None
        inner = [k for k in arguments if k is not type(None)]
        return _convert(inner[0], raw, where=where, path=path)
    if origin is tuple and isinstance(raw, list):
        return tuple(
            _convert(arguments[0], item, where=where, path=f"{path}[{index}]")
            for index, item in enumerate(raw)
        )
    if origin is dict and isinstance(raw, dict):
        return {
            key: _convert(arguments[1], item, where=where, path=f"{path}.{key}")
            for key, item in raw.items()
        }
    if dataclasses.is_dataclass(kind) and isinstance(raw, dict):
        return from_table(cast(Any, kind), raw, where=where, path=path)
    if kind is float and type(raw) in (int, float):
        return float(raw)
    if kind in (str, int, bool) and type(raw) is kind:
        return raw
    raise RecipeError(f"'{path}' must be {_type_name(kind)}", where=where, value=raw)


def _check_range(field: dataclasses.Field[Any], value: Any, *, where: str, path: str) -> None:
    low, high = field.metadata.get("low"), field.metadata.get("high")
    choices = field.metadata.get("choices")
    for item in value if isinstance(value, tuple) else (value,):
        if item is None or isinstance(item, bool):
            continue
        if choices is not None and item not in choices:
            raise RecipeError(f"'{path}' is none of the choices", where=where, value=item,
                              fix=did_you_mean(str(item), choices))  # fmt: skip
        if isinstance(item, int | float) and (
            (low is not None and not item >= low) or (high is not None and not item <= high)
        ):
            bounds = f"{'' if low is None else low}..{'' if high is None else high}"
            raise RecipeError(f"'{path}' must lie in {bounds}", where=where, value=item)


def to_table(recipe: Any) -> dict[str, Any]:
    """A recipe as plain values (``None`` as ``"off"``), in field order.

    A whole number is an integer whatever the type of its field, so that a default of 50 and the
    50.0 that is read for it give one table, and one key of a task.
    """
    return {field.name: _plain(getattr(recipe, field.name)) for field in dataclasses.fields(recipe)}


def _plain(value: Any) -> Any:
    if value is None:
        return OFF
    if dataclasses.is_dataclass(value):
        return to_table(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def dumps(recipe: Any) -> str:
    """A recipe as TOML text that :func:`load` reads back to an equal recipe."""
    lines: list[str] = []
    _write_table(to_table(recipe), "", lines)
    return "\n".join(lines).strip() + "\n"


def _write_table(table: Mapping[str, Any], path: str, lines: list[str]) -> None:
    nested = {k: v for k, v in table.items() if _is_table(v) or _is_table_array(v)}
    for key, value in table.items():
        if key not in nested:
            lines.append(f"{_key(key)} = {_scalar(value)}")
    for key, value in nested.items():
        full = f"{path}.{_key(key)}" if path else _key(key)
        for item in [value] if isinstance(value, dict) else value:
            lines += ["", f"[{full}]" if isinstance(value, dict) else f"[[{full}]]"]
            _write_table(item, full, lines)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_table_array(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _scalar(key)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_escape(c) for c in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    return repr(value)


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if ord(character) < 0x20 or ord(character) == 0x7F:
        return f"\\u{ord(character):04x}"
    if 0xD800 <= ord(character) <= 0xDFFF:  # a byte of a file name that is no text; TOML has none
        return f"\\\\x{ord(character) & 0xFF:02x}"
    return character
