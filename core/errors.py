"""Errors that a user can act on.

    YanmoError                    exit 1: the data or the run failed
    ├── UsageError                exit 2: the command was typed wrong
    │   └── RecipeError           exit 2: a key, type or range in a recipe is wrong
    ├── DataError                 a file, part or record cannot be used
    │   └── LedgerError           bytes, records or characters do not balance
    └── MissingDependency         a package is not installed
        └── ModelMissing          a model file is not there

Only ``yanmo.cli`` turns them into exit codes. The message says what, where, the value, and the fix.
"""

from typing import ClassVar


class YanmoError(Exception):
    """Base of all errors that yanmo raises on purpose.

    Args:
        what: what went wrong, a full clause without a full stop.
        where: file, record, step: as precise as known.
        value: the offending value; shown by ``repr`` and cut at 200 characters.
        fix: what the user can do about it.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        where: object | None = None,
        value: object | None = None,
        fix: str | None = None,
    ) -> None:
        self.what, self.where, self.value, self.fix = what, where, value, fix
        super().__init__(what)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where is not None else self.what
        if self.value is not None:
            shown = repr(self.value)
            head += f", got {shown if len(shown) <= 200 else shown[:200] + '…'}"
        return f"{head}. {self.fix}" if self.fix else head

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders with all fields (the default would keep ``what`` alone)."""
        return _rebuild, (type(self), self.what, self.where, self.value, self.fix)


def _rebuild(
    kind: type[YanmoError], what: str, where: object, value: object, fix: str | None
) -> YanmoError:
    return kind(what, where=where, value=value, fix=fix)


class UsageError(YanmoError):
    """The command line asks for something that does not exist or does not fit."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe has an unknown key, a wrong type, or a value out of range."""


class DataError(YanmoError):
    """A file, a part or a record cannot be used as it is."""


class LedgerError(DataError):
    """Bytes, records or characters went missing: the books do not balance."""


class MissingDependency(YanmoError):
    """An optional package is not installed."""


class ModelMissing(MissingDependency):
    """A model file is not there; nothing is ever downloaded without being asked."""
