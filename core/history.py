"""Token shards as they were before documents were taken down: lengths and sources, but no text.

A take-down (`yanmo curate forget`) leaves in the manifest, for each removed document, a salted hash
of its names, its number and how many tokens it had. With these the order in which an older
checkpoint read the shards can still be computed (``yanmo.order``).
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from yanmo.order import shards_identity, source_codes
from yanmo.packing import Ints
from yanmo.shards import Shards

KEY: Final = "forgotten"
"""Where a manifest lists its take-downs, oldest first."""


@dataclass(frozen=True, eq=False)
class Version:
    """Some shards, now or before a take-down.

    Attributes:
        identity: see :func:`yanmo.order.shards_identity`.
        ends: (documents,) exclusive ends.
        names, codes: see :func:`yanmo.order.source_codes`.
    """

    identity: str
    ends: Ints
    names: list[str]
    codes: npt.NDArray[np.int32]

    def span(self, number: int) -> tuple[int, int]:
        """Begin and end of a document."""
        return int(self.ends[number - 1]) if number else 0, int(self.ends[number])

    def before(self, event: Mapping[str, Any]) -> "Version":
        """The shards before the take-down that led to this version."""
        gone = sorted(event["documents"], key=lambda row: row["document"])
        numbers = np.array([row["document"] for row in gone], np.int64)
        names = [*self.names, *sorted({row["source"] for row in gone} - set(self.names))]
        stays = np.ones(len(self.ends) + len(gone), np.bool_)
        stays[numbers] = False
        lengths = np.empty(len(stays), np.int64)
        codes = np.empty(len(stays), np.int32)
        lengths[stays], codes[stays] = np.diff(self.ends, prepend=0), self.codes
        lengths[numbers] = [row["tokens"] for row in gone]
        codes[numbers] = [names.index(row["source"]) for row in gone]
        return Version(event["identity_before"], np.cumsum(lengths), names, codes)


def versions(shards: Shards) -> list[Version]:
    """All that is known of some shards, the present first."""
    found = [Version(shards_identity(shards), shards.document_ends, *source_codes(shards))]
    for event in reversed(shards.manifest.get(KEY, [])):
        found.append(found[-1].before(event))
    return found


def new_salt() -> str:
    """Makes the hashes of one take-down useless for finding the same document elsewhere."""
    return secrets.token_hex(16)


def salted(salt: str, name: str) -> str:
    """The hash that a take-down leaves of an id or an address."""
    return hashlib.sha256(f"{salt}\0{name}".encode()).hexdigest()


def recall(manifest: Mapping[str, Any], name: str) -> list[tuple[int, Mapping[str, Any]]]:
    """Take-downs of a document by its id or address: number of the event, and its row."""
    found: list[tuple[int, Mapping[str, Any]]] = []
    for number, event in enumerate(manifest.get(KEY, [])):
        hashed = salted(event["salt"], name)
        found += [
            (number, row) for row in event["documents"]
            if hashed in (row["id_sha256"], row["url_sha256"])
        ]  # fmt: skip
    return found
