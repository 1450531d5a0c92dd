"""What loads when: ``--help`` loads click alone, and curate never loads torch."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    *("torch", "transformers", "polars", "numba", "scipy", "pyarrow", "tokenizers", "numpy"),
    *("sentencepiece", "datasketch", "fasttext", "resiliparse", "trafilatura", "rich"),
}


def loaded(code: str) -> set[str]:
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    return {name.split(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


HELP = """
from yanmo.cli import root
try:
    root.main({arguments!r}, standalone_mode=False)
except SystemExit:
    pass
"""


@pytest.mark.parametrize("group", ["", "curate", "vocab", "train", "evals", "models"])
def test_help_loads_nothing_heavy(group: str) -> None:
    arguments = [*([group] if group else []), "--help"]
    assert loaded(HELP.format(arguments=arguments)) & HEAVY == set()


def test_curate_does_not_load_torch() -> None:
    code = "import yanmo.curate, yanmo.curate.pipeline"
    assert loaded(code) & {"torch", "transformers"} == set()


def test_planning_a_run_loads_no_compiler() -> None:
    code = "import yanmo.curate.pipeline, yanmo.curate.settle, yanmo.curate.normalize"
    assert loaded(code) & {"numba", "llvmlite", "scipy", "polars", "datasketch"} == set()
