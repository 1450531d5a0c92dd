"""``yanmo vocab view``: tokenizers side by side over one text, as a page."""

import sys
from pathlib import Path
from typing import Any

import click

from yanmo.errors import DataError, UsageError
from yanmo.options import emit, json_option, out_option, verbosity_options

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("arguments", nargs=-1, required=True, metavar="TOKENIZER... [TEXT...]")
@click.option("--text", "text_path", type=FILE,
              help="Text or documents to show instead of TEXT; - is stdin.")  # fmt: skip
@click.option("--base", type=FILE, help="Compare with this tokenizer: what is new, what changed.")
@click.option("--limit", type=click.IntRange(1), default=10_000, show_default=True,
              help="Most characters to show; the page says if the text is cut.")  # fmt: skip
@out_option(help="Page (.html) to write.")
@json_option
@verbosity_options
def view(arguments: tuple[str, ...], text_path: Path | None, base: Path | None, limit: int,
         out: Path, as_json: bool) -> None:  # fmt: skip
    """Show how tokenizers cut a text: one page with merge trees and differences.

    Leading arguments that exist are tokenizers; the first that does not starts the text.
    """
    from yanmo.files import atomic_write

    from .load import load_tokenizer
    from .view import build
    from .view_page import count_table, view_page

    paths, words = split_arguments(arguments)
    text, size = read_text(words, text_path, limit)
    if base is not None:
        paths = [base, *(path for path in paths if path.resolve() != base.resolve())]
    at = None if base is None else 0
    if out.suffix not in (".html", ".htm"):
        raise UsageError("--out must be a page", value=out.name, fix=f"Try {out.name}.html.")
    panels = build([load_tokenizer(path) for path in paths], text, base=at)
    whole = size if size > limit else None
    with atomic_write(out, text=True) as stream:
        stream.write(view_page(panels, base=at, whole=whole))
    result = {
        "out": str(out),
        "chars": len(panels[0].text),
        "cut_from": whole,
        "tokenizers": [{"name": p.name, **_numbers(p)} for p in panels],
    }
    cut = "" if whole is None else f"\nCut: the first {limit} of {whole} characters (--limit)."
    emit(result, as_json=as_json, text=f"{count_table(panels, at).text()}\n{out}{cut}")


def _numbers(panel: Any) -> dict[str, Any]:
    found: dict[str, Any] = panel.numbers()
    if panel.found is not None and panel.outside is not None:
        found |= {
            "places_changed": len(panel.found),
            "entries_not_in_base": len(panel.only_here),
            "outside_han": {
                "stretches": panel.outside.spans,
                "identical": panel.outside.identical,
                "joined": panel.outside.joined,
                "changed": len(panel.outside.changed),
            },
        }
    return found


def split_arguments(arguments: tuple[str, ...]) -> tuple[list[Path], list[str]]:
    """Tokenizers, and the words of a text.

    Args:
        arguments: paths that exist, then text.

    Raises:
        UsageError: there is no tokenizer, or the text looks like a mistyped path.
    """
    count = next((k for k, a in enumerate(arguments) if not _exists(a)), len(arguments))
    paths, words = [Path(a) for a in arguments[:count]], list(arguments[count:])
    looks_like_path = bool(words) and not any(c.isspace() for c in words[0]) and (
        "/" in words[0] or words[0].endswith((".json", ".model", ".tiktoken", ".txt"))
    )  # fmt: skip
    if not paths or looks_like_path:
        from yanmo.recipe import did_you_mean

        near = Path(words[0]).parent
        beside = [p.name for p in near.iterdir()] if near.is_dir() else []
        hint = did_you_mean(Path(words[0]).name, beside) if beside else ""
        fix = f"{hint} A text that looks like a path goes into a file: --text FILE.".strip()
        raise UsageError("no such tokenizer", value=words[0], fix=fix)
    return paths, words


def _exists(argument: str) -> bool:
    try:
        return bool(argument) and Path(argument).exists()
    except (OSError, ValueError):  # longer than a name may be, or with a NUL
        return False


def read_text(words: list[str], path: Path | None, limit: int) -> tuple[str, int]:
    """The text to show, and how many characters there would be in all.

    Args:
        words: of the command line, a line each.
        path: the file to read instead; of documents no more is kept than is shown.
        limit: most characters.

    Raises:
        UsageError: both or none are given, or the file is not there.
        DataError: it is not UTF-8.
    """
    if bool(words) == (path is not None):
        fix = "Give a text behind the tokenizers, or a file with --text."
        raise UsageError("two texts" if words else "no text", value=words[:1] or None, fix=fix)
    if path is not None and str(path) != "-":
        return _first_characters(path, limit)
    try:
        text = "\n".join(words) if path is None else sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error}", where="stdin") from None
    return text[:limit], len(text)


def _first_characters(path: Path, limit: int) -> tuple[str, int]:
    """The first documents, a line end between two, and the characters of all of them."""
    import pyarrow.compute as pc

    from yanmo.documents import texts

    if not path.exists():
        raise UsageError("no such file or folder", where=path,
                         fix="--text takes a text or documents.")  # fmt: skip
    kept: list[str] = []
    held = documents = chars = 0
    for batch in texts(path):
        there = batch.drop_null()
        documents += len(there)
        chars += pc.sum(pc.utf8_length(there)).as_py() or 0
        for text in there:
            if held > limit:
                break
            kept.append(text.as_py())
            held += len(kept[-1]) + 1
    return "\n".join(kept)[:limit], chars + max(documents - 1, 0)
