"""Environments of the peers: each in a venv of its own below ``.bench``, pinned, made when needed.

What a peer does stands in a script of ``bench/peers``; it is run by the peer's own interpreter and
imports nothing from yanmo. One JSON object goes in on stdin, one comes out on stdout.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

PEERS: Final = {
    "datatrove": (
        "datatrove[processing]==0.10.1",
        "spacy==3.8.*",
        "jieba==0.42.1",
        "orjson",
        "pyarrow",
        "zstandard",
    ),
    "rensa": ("rensa==0.5.0", "numpy"),
    "lm_eval": ("torch==2.13.0", "lm_eval[hf]==0.4.13", "sentencepiece", "protobuf", "tiktoken"),
    "trl_ppo": ("torch==2.13.0", "trl==0.24.0", "transformers==4.57.6", "accelerate", "datasets"),
    "trl": ("trl==1.16.0", "torch==2.13.0", "transformers==5.24.0", "accelerate", "datasets"),
    "hf": ("torch==2.13.0", "transformers==5.24.0", "accelerate==1.14.0", "numpy"),
    "litgpt": ("torch==2.13.0", "litgpt==0.5.13", "numpy"),
}
"""Requirements of each peer (datatrove cuts English with spaCy and Chinese with jieba)."""

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / ".bench"
_SCRIPTS: Final = Path(__file__).resolve().parent / "peers"


def interpreter(peer: str) -> Path:
    """The Python of a peer's environment; the environment is made if it is not there.

    Raises:
        KeyError: no such peer.
        subprocess.CalledProcessError: its packages cannot be installed.
    """
    folder = FOLDER / peer
    python, stamp = folder / "bin" / "python", folder / ".installed"
    wanted = "\n".join(PEERS[peer])
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        sys.stderr.write(f"bench: installing {peer} into {folder.relative_to(ROOT)}\n")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PEERS[peer]], check=True, stdout=sys.stderr)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def ask(peer: str, script: str, request: dict[str, Any]) -> dict[str, Any]:
    """Run ``bench/peers/<script>.py`` in the environment of a peer.

    Args:
        peer: a key of ``PEERS``.
        script: name of the script, without suffix.
        request: what the script reads from stdin, JSON-able.

    Returns:
        What the script wrote to stdout.
    """
    command = [str(interpreter(peer)), str(_SCRIPTS / f"{script}.py")]
    answer = subprocess.run(
        command, input=json.dumps(request), stdout=subprocess.PIPE, text=True, check=True
    )
    result: dict[str, Any] = json.loads(answer.stdout)
    return result
