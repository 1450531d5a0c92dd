"""What a recipe can say about the input."""

from dataclasses import dataclass

from yanmo.recipe import setting


@dataclass(frozen=True)
class ReadOptions:
    """The ``[read]`` table of a recipe."""

    text_field: str = setting(
        "text", help="Field (JSONL) or column (CSV, Parquet) that holds the text."
    )
    url_field: str = setting("url", help="Field or column with the address of the page.")
    timestamp_field: str = setting("timestamp", help="Field or column with the date of the page.")
    txt: str = setting(
        "file", choices=("file", "line"), help="A document in .txt is the whole file, or a line."
    )
    encoding: str = setting(
        "utf-8",
        choices=("utf-8", "gb18030", "big5hkscs"),
        help="Encoding of JSONL, CSV and line-wise text; pages and whole texts are detected.",
    )
    max_record_bytes: int = setting(
        64 << 20, low=1 << 10, high=1 << 30, help="A longer record goes to the quarantine."
    )
    batch_rows: int = setting(2048, low=1, high=1 << 20, help="Most pages held at once.")
    batch_bytes: int = setting(
        8 << 20, low=1 << 10, high=1 << 31, help="Most bytes of pages held at once."
    )
    group_bytes: int = setting(
        64 << 20, low=1, high=1 << 40, help="Small files are read in groups of so many bytes."
    )
    group_files: int = setting(2000, low=1, high=1 << 20, help="Most files in a group.")
    # Half of output.part_bytes: a stretch makes one part, and all the steps that follow work part
    # by part. Reading one takes half a second of JSONL, some thirty times what a task costs, and a
    # file of 200 MB keeps six processes busy.
    split_bytes: int | None = setting(
        32 << 20, low=64, high=1 << 40,
        help="A larger file (JSONL, WARC, Parquet, text by lines) is read in stretches of about so "
        "many bytes, side by side; a compressed one is unpacked into the cache first.",
    )  # fmt: skip
