"""Addresses in the one form in which they are compared, and hashes of their parts.

    HTTP://user@www.%45vil.COM.:8080/a%7Eb/?q#top   ->   evil.com/a~b?q

Scheme, user, port, ``www.``, a dot behind the host, a slash behind the path and the fragment go;
percent signs are decoded once; ASCII letters are small; a host of other characters is its Punycode.
A host is hashed from its end, so that one walk gives the hashes of all the domains it lies in.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .utf8 import Bounds, Bytes, kernel

NO_HOST: Final = 1
OTHER_HOST: Final = 2
"""Characters beyond ASCII in the host."""
DOTTED: Final = 4
"""The host was written with a dot or ``*.`` before it."""
BAD_HOST: Final = 8
"""Characters that no host has."""

_HOST_SEED: Final = np.uint64(0xCBF29CE484222325)
_PATH_SEED: Final = np.uint64(0x9AE16A3B2F90404F)
_PRIME: Final = np.uint64(0x100000001B3)

U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Addresses:
    """``D`` addresses in the form in which they are compared.

    Attributes:
        buffer: their bytes, uint8.
        bounds: of the addresses in it, int64 ``[D + 1]``.
        hosts: bytes of each host, int64 ``[D]``.
        flags: what was odd, uint8 ``[D]``.
    """

    buffer: Bytes
    bounds: Bounds
    hosts: Bounds
    flags: npt.NDArray[np.uint8]

    def address(self, row: int) -> bytes:
        """One address."""
        return self.buffer[self.bounds[row] : self.bounds[row + 1]].tobytes()

    def host(self, row: int) -> bytes:
        """Its host."""
        return self.buffer[self.bounds[row] : self.bounds[row] + self.hosts[row]].tobytes()


def normalize_addresses(buffer: Bytes, starts: Bounds, stops: Bounds) -> Addresses:
    """Bring addresses into one form.

    Args:
        buffer: UTF-8, uint8.
        starts: where each begins, int64 ``[D]``.
        stops: behind each, int64 ``[D]``.
    """
    rows = len(starts)
    out = np.empty(int((stops - starts).sum()), np.uint8)
    bounds, hosts = np.zeros(rows + 1, np.int64), np.zeros(rows, np.int64)
    flags = np.zeros(rows, np.uint8)
    size = _normalize(buffer, starts, stops, out, bounds, hosts, flags)
    found = Addresses(out[:size], bounds, hosts, flags)
    return _with_ascii_hosts(found) if (flags & OTHER_HOST).any() else found


def _with_ascii_hosts(found: Addresses) -> Addresses:
    """Put Punycode in the place of hosts beyond ASCII."""
    hosts, flags = found.hosts.copy(), found.flags.copy()
    sizes, pieces, at = np.diff(found.bounds), [], 0
    for row in np.flatnonzero(flags & OTHER_HOST).tolist():
        start = int(found.bounds[row])
        host = found.host(row)
        plain = ascii_host(host)
        if b"\xef\xbf\xbd" in plain or not plain:
            flags[row] |= BAD_HOST
        pieces += [found.buffer[at:start].tobytes(), plain]
        at = start + len(host)
        sizes[row] += len(plain) - len(host)
        hosts[row] = len(plain)
    pieces.append(found.buffer[at:].tobytes())
    bounds = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Addresses(np.frombuffer(b"".join(pieces), np.uint8), bounds, hosts, flags)


def ascii_host(host: bytes) -> bytes:
    """A host as the domain name system has it: mapped by UTS 46, each label in Punycode.

    As lenient as browsers: what the standard forbids (``_``, labels too long) is no reason to let
    a page through. The bytes stay where they are no UTF-8.
    """
    import idna

    text = host.decode("utf-8", "replace")
    try:
        text = idna.uts46_remap(text, std3_rules=False, transitional=False)
    except (idna.IDNAError, IndexError):
        text = text.lower()
    text = text.strip(".").removeprefix("www.")
    labels = []
    for label in text.split("."):
        plain = label.isascii() or "\ufffd" in label
        labels.append(label.encode() if plain else b"xn--" + label.encode("punycode"))
    return b".".join(labels)


def unicode_host(host: str) -> str:
    """A host as people read it: labels in Punycode decoded, where they are any."""
    labels = host.split(".")
    for place, label in enumerate(labels):
        if label.startswith("xn--"):
            try:
                labels[place] = label[4:].encode("ascii").decode("punycode")
            except (UnicodeError, ValueError, OverflowError):
                continue
    return ".".join(labels)


def domain_keys(found: Addresses) -> U64:
    """The hash of each whole host, uint64 ``[D]``."""
    keys = np.empty(len(found.hosts), np.uint64)
    _domain_keys(found.buffer, found.bounds, found.hosts, keys)
    return keys


def address_keys(found: Addresses) -> U64:
    """The hash of each whole address, uint64 ``[D]``."""
    keys = np.empty(len(found.hosts), np.uint64)
    _address_keys(found.buffer, found.bounds, keys)
    return keys


@dataclass(frozen=True)
class Listed:
    """Hashes of domains or addresses, and the list that each is on.

    Attributes:
        keys: sorted, none twice, uint64 ``[N]``.
        lists: number of the list, uint16 ``[N]``.
        starts: where the keys with each value of the upper 16 bits begin, int64 ``[65 537]``.
    """

    keys: U64
    lists: npt.NDArray[np.uint16]
    starts: Bounds

    @classmethod
    def of(cls, keys: U64, lists: npt.NDArray[np.uint16]) -> "Listed":
        """Index sorted keys."""
        edges = np.arange(1, 1 << 16, dtype=np.uint64) << np.uint64(48)
        inner = np.searchsorted(keys, edges)
        return cls(keys, lists, np.concatenate([[0], inner, [len(keys)]]).astype(np.int64))


def look_up(
    found: Addresses, domains: Listed, addresses: Listed, *, below: bool
) -> npt.NDArray[np.int64]:
    """Which addresses are listed.

    Args:
        found: the addresses.
        domains: listed domains; they hold all hosts below them.
        addresses: listed addresses.
        below: do these hold the addresses below them.

    Returns:
        int64 ``[D, 4]``: 0 not listed, 1 by a domain, 2 by an address; the list; where the matched
        part begins and ends in the address. The longest domain counts.
    """
    result = np.zeros((len(found.hosts), 4), np.int64)
    _look_up(found.buffer, found.bounds, found.hosts, domains.keys, domains.lists, domains.starts,
             addresses.keys, addresses.lists, addresses.starts, below, result)  # fmt: skip
    return result


@kernel
def _hex(byte: Any) -> Any:
    if 0x30 <= byte <= 0x39:
        return byte - 0x30
    byte |= 0x20
    return byte - 0x57 if 0x61 <= byte <= 0x66 else -1


@kernel
def _copy(buffer: Bytes, start: int, stop: int, out: Bytes, n: int) -> int:
    """Decode percent signs and make letters small; where the copy ends."""
    i = start
    while i < stop:
        byte: Any = np.int64(buffer[i])
        if byte == 0x25 and i + 2 < stop:
            high, low = _hex(np.int64(buffer[i + 1])), _hex(np.int64(buffer[i + 2]))
            if high >= 0 and low >= 0:
                byte = high << 4 | low
                i += 2
        if 0x41 <= byte <= 0x5A:
            byte += 32
        out[n] = byte
        n += 1
        i += 1
    return n


@kernel
def _authority(buffer: Bytes, i: int, stop: int) -> tuple[int, int, int]:
    """Where the host begins and ends, and where what follows the authority begins."""
    at = i
    while at < stop and (0x61 <= (buffer[at] | 0x20) <= 0x7A or buffer[at] in (0x2B, 0x2D, 0x2E)
                         or 0x30 <= buffer[at] <= 0x39):  # fmt: skip
        at += 1
    if at + 2 < stop and buffer[at] == 0x3A and buffer[at + 1] == 0x2F and buffer[at + 2] == 0x2F:
        i = at + 3
    elif i + 1 < stop and buffer[i] == 0x2F and buffer[i + 1] == 0x2F:
        i += 2
    end = i
    while end < stop and buffer[end] not in (0x2F, 0x3F, 0x23, 0x5C):
        if buffer[end] == 0x40:
            i = end + 1
        end += 1
    host = end
    if i < end and buffer[i] == 0x5B:  # [::1]:80
        host = i
        while host < end and buffer[host] != 0x5D:
            host += 1
        return i, min(host + 1, end), end
    for at in range(i, end):
        if buffer[at] == 0x3A:
            host = at
            break
    return i, host, end


@kernel
def _host(out: Bytes, first: int, n: int, flags: npt.NDArray[np.uint8], row: int) -> int:
    """Tidy a copied host in its place; where it ends."""
    while n > first and out[n - 1] == 0x2E:
        n -= 1
    skip = first
    while skip < n and (out[skip] == 0x2E or (out[skip] == 0x2A and skip + 1 < n)):
        skip += 1
    if skip > first:
        flags[row] |= DOTTED
    if (n - skip > 4 and out[skip] == 0x77 and out[skip + 1] == 0x77 and out[skip + 2] == 0x77
            and out[skip + 3] == 0x2E):  # fmt: skip
        for i in range(skip + 4, n):
            if out[i] == 0x2E:  # www.com is no page of the domain com
                skip += 4
                break
    for i in range(skip, n):
        byte = out[i]
        out[first + i - skip] = byte
        if byte >= 0x80:
            flags[row] |= OTHER_HOST
        elif not (0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x3A
                  or byte in (0x2D, 0x2E, 0x5F, 0x5B, 0x5D)):  # fmt: skip
            flags[row] |= BAD_HOST
    n = first + n - skip
    if n == first:
        flags[row] |= NO_HOST
    return n


@kernel
def _normalize(  # noqa: PLR0913
    buffer: Bytes, starts: Bounds, stops: Bounds, out: Bytes, bounds: Bounds, hosts: Bounds,
    flags: npt.NDArray[np.uint8],
) -> int:  # fmt: skip
    n = 0
    for row in range(len(starts)):
        start, stop = starts[row], stops[row]
        while start < stop and buffer[start] <= 0x20:
            start += 1
        while start < stop and buffer[stop - 1] <= 0x20:
            stop -= 1
        first = n
        begin, end, at = _authority(buffer, start, stop)
        n = _host(out, first, _copy(buffer, begin, end, out, n), flags, row)
        hosts[row] = n - first
        path = n
        query = at
        while query < stop and buffer[query] not in (0x3F, 0x23):
            query += 1
        n = _copy(buffer, at, query, out, n)
        while n > path and out[n - 1] == 0x2F:
            n -= 1
        after = query
        while after < stop and buffer[after] != 0x23:
            after += 1
        if after - query > 1:
            n = _copy(buffer, query, after, out, n)
        bounds[row + 1] = n
    return n


@kernel
def _finish(value: np.uint64) -> np.uint64:
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@kernel
def _domain_keys(buffer: Bytes, bounds: Bounds, hosts: Bounds, keys: U64) -> None:
    for row in range(len(hosts)):
        value = _HOST_SEED
        for i in range(bounds[row] + hosts[row] - 1, bounds[row] - 1, -1):
            value = (value ^ np.uint64(buffer[i])) * _PRIME
        keys[row] = _finish(value)


@kernel
def _address_keys(buffer: Bytes, bounds: Bounds, keys: U64) -> None:
    for row in range(len(keys)):
        value = _PATH_SEED
        for i in range(bounds[row], bounds[row + 1]):
            value = (value ^ np.uint64(buffer[i])) * _PRIME
        keys[row] = _finish(value)


@kernel
def _place(keys: U64, starts: Bounds, key: np.uint64) -> Any:
    """Where a key stands, or -1."""
    bucket = np.int64(key >> np.uint64(48))
    low, high = starts[bucket], starts[bucket + 1]
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    if low < starts[bucket + 1] and keys[low] == key:
        return low
    return -1


@kernel
def _is_number(buffer: Bytes, start: int, stop: int) -> bool:
    """Is the last label of a host a number: an IPv4 address, which lies in no domain?"""
    for i in range(stop - 1, start - 1, -1):
        if buffer[i] == 0x2E:
            return i < stop - 1
        if not 0x30 <= buffer[i] <= 0x39:
            return False
    return True


@kernel
def _look_up(  # noqa: C901, PLR0913
    buffer: Bytes, bounds: Bounds, hosts: Bounds, keys: U64, lists: npt.NDArray[np.uint16],
    starts: Bounds, whole: U64, whole_lists: npt.NDArray[np.uint16], whole_starts: Bounds,
    below: bool, result: Bounds,
) -> None:  # fmt: skip
    for row in range(len(hosts)):
        start, end = bounds[row], bounds[row + 1]
        host = start + hosts[row]
        if host == start:
            continue
        number = _is_number(buffer, start, host)
        value = _HOST_SEED
        for i in range(host - 1, start - 1, -1):
            if buffer[i] == 0x2E and not number and len(keys):
                at = _place(keys, starts, _finish(value))
                if at >= 0:  # a longer domain, further on, takes its place
                    result[row, 0], result[row, 1] = 1, lists[at]
                    result[row, 2], result[row, 3] = i + 1 - start, host - start
            value = (value ^ np.uint64(buffer[i])) * _PRIME
        if len(keys):
            at = _place(keys, starts, _finish(value))
            if at >= 0:
                result[row, 0], result[row, 1] = 1, lists[at]
                result[row, 2], result[row, 3] = 0, host - start
        if result[row, 0] or not len(whole):
            continue
        value = _PATH_SEED
        for i in range(start, end + 1):
            if i == end or (below and i >= host and buffer[i] in (0x2F, 0x3F)):
                at = _place(whole, whole_starts, _finish(value))
                if at >= 0:
                    result[row, 0], result[row, 1] = 2, whole_lists[at]
                    result[row, 2], result[row, 3] = 0, i - start
                    break
            if i < end:
                value = (value ^ np.uint64(buffer[i])) * _PRIME
