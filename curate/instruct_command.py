"""``yanmo curate instruct``: instruction data converted, cleaned and generated."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yanmo.options import emit, json_option, limit_option, verbosity_options

from .instruct_clean_command import clean, init
from .instruct_generate_command import generate

if TYPE_CHECKING:
    from .instruct_convert import Ledger

FORMAT_HELP = ("openai, sharegpt, alpaca, moss, firefly, firefly-1.1m, belle-0.5m, belle-1m, "
               "belle-multiturn, belle-3.5m, self-instruct; pairs: preference, dpo, dpo-text"
               )  # fmt: skip


@click.group()
def instruct() -> None:
    """Convert, clean and generate instruction data."""


instruct.add_command(clean)
instruct.add_command(init)
instruct.add_command(generate)


@instruct.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--to", required=True, metavar="FORMAT", help=f"{FORMAT_HELP}.")
@click.option("--from", "from_", default=None, metavar="FORMAT",
              help="Format of all records; default: told by each one's content.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True,
              help="File to write: .jsonl or .json, also .gz or .zst; - is stdout.")  # fmt: skip
@click.option("--lossy", is_flag=True, help="Leave out what does not fit, and count it.")
@click.option("--ids", is_flag=True, help="Give records without an id their file#row.")
@limit_option
@json_option
@verbosity_options
def convert(inputs: tuple[str, ...], out: Path, as_json: bool, **options: Any) -> None:
    """Convert dialogues and preference pairs from any known format into another.

    A record is refused, with the reason, where the other format cannot hold it; refused records
    stand in OUT.rejects.jsonl.
    """
    from .instruct_convert import ConvertOptions
    from .instruct_convert import convert as run
    from .instruct_files import data_files

    ledger = run(data_files(inputs), out, ConvertOptions(**options))
    shown = _told(ledger, out)
    if str(out) == "-":
        click.echo(shown, err=True)
    else:
        emit({**ledger.table(), "out": str(out)}, as_json=as_json, text=shown)


def _told(ledger: "Ledger", out: Path) -> str:
    from .instruct_convert import rejects_of

    lines = [f"read {ledger.read} = written {ledger.written} + rejected {ledger.rejected}"]
    if ledger.dialogues != ledger.written:
        lines[0] += f"; {ledger.dialogues} dialogues"
    lines.append("read as " + ", ".join(f"{n} {c}" for n, c in ledger.formats.most_common()))
    lines += [f"  {count} left out: {what}" for what, count in ledger.losses.most_common(10)]
    lines += [f"  {count} rejected: {what}" for what, count in ledger.reasons.most_common(10)]
    if ledger.rejected:
        lines.append(f"rejects: {rejects_of(out)}")
    return "\n".join([*lines, f"written: {out}"])
