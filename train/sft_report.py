"""Tables about a fine-tuning run: what it will do, what it did, what became of the dialogues."""

from typing import Any

from yanmo.report import Table


def plan_table(plan: dict[str, Any]) -> Table:
    """What a dry run found, and what stands before the first step."""
    rows = [
        (name.replace("_", " "), value) for name, value in plan.items()
        if not isinstance(value, dict) and value is not None
    ]  # fmt: skip
    return Table("Plan", ("what", "value"), [*rows, *dialogue_rows(plan)])


def dialogue_rows(found: dict[str, Any]) -> list[tuple[str, Any]]:
    """What became of the dialogues, line by line."""
    rows: list[tuple[str, Any]] = []
    for name, key in (("dialogues", "dialogues"), ("held-out dialogues", "heldout_dialogues")):
        account = found[key]
        if account is None:
            continue
        rows += [
            (f"{name} read", account["read"]),
            (f"{name} kept", account["kept"]),
            (f"{name} left out, too long", account["too_long"]),
            (f"{name} cut", account["cut"]),
            *((f"{name} refused, {reason}", count) for reason, count in account["refused"].items()),
            (f"{name}, answers", account["answers"]),
        ]
    return rows


def dialogues_table(summary: dict[str, Any]) -> Table:
    """The account of the dialogues."""
    return Table("", ("what", "value"), [
        *dialogue_rows(summary),
        ("longest, tokens", summary["longest_tokens"]),
        ("tokens that are trained", summary["trained_share"]),
        ("padding of the rows", summary["padding"]),
    ])  # fmt: skip


def summary_table(summary: dict[str, Any]) -> Table:
    """The figures of a run as a table."""
    held, before = summary["heldout"] or {}, summary["heldout_before"] or {}
    rows = [
        ("parameters", summary["parameters"]),
        ("steps", summary["steps"]),
        ("epochs", summary["epochs"]),
        ("tokens read", summary["tokens"]),
        ("tokens trained", summary["targets"]),
        ("padding", summary["padding"]),
        ("training loss, nats per token", summary["loss"]),
        ("held-out loss on answers, before", before.get("loss")),
        ("held-out loss on answers, after", held.get("loss")),
        ("held-out bits per byte, before", before.get("bits_per_byte")),
        ("held-out bits per byte, after", held.get("bits_per_byte")),
        ("tokens per second", summary["tokens_per_second"]),
        ("trained tokens per second", summary["targets_per_second"]),
        ("share of the device's peak (MFU)", summary["mfu"]),
        ("seconds in steps", summary["seconds"]),
        ("steps skipped", summary["skipped"]),
        ("device", summary["device"]),
    ]
    return Table("", ("what", "value"), rows)
