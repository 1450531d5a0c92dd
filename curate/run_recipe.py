"""The recipe of a run: all that changes its results, in one frozen dataclass."""

from dataclasses import dataclass, field, replace
from typing import Any

from yanmo.documents import SCHEMA
from yanmo.errors import RecipeError, UsageError
from yanmo.recipe import setting

from .decontaminate import DecontaminateOptions
from .discover import InputSpec
from .extract import ExtractOptions
from .keep import KEEP_POLICIES, check_policy, field_of
from .language import LanguageOptions
from .lines import LineOptions
from .normalize import NormalizeOptions
from .options import ReadOptions
from .perplexity import PerplexityOptions
from .pii import PiiOptions
from .published_thresholds import PublishedThresholds
from .quality import QualityOptions
from .signals import Measure
from .site_lines import SiteOptions
from .span_options import SpanOptions
from .thresholds import Rules
from .url_options import UrlOptions
from .user_signals import UserSignals
from .word_lists import WordOptions


@dataclass(frozen=True)
class DuplicateOptions:
    """The ``[duplicates]`` table."""

    exact: bool = setting(True, help="Drop documents whose text is equal to another's.")
    near: bool = setting(True, help="Drop documents that resemble another.")
    shingle: str = setting(
        "tokens", choices=("tokens", "characters"), source="docs/duplicates.md",
        help="What proposes pairs: shingles of tokens, or character 5-grams, which also find "
        "copies of short Latin texts and code that differ in many words by a letter or two.",
    )  # fmt: skip
    shingle_tokens: int = setting(
        5, low=1, high=32, source="datatrove, FineWeb: 5-grams",
        help="Tokens of a shingle; a hanzi or a run of letters and digits is a token.",
    )  # fmt: skip
    bands: int = setting(14, low=1, high=256, source="FineWeb, datatrove: 14 bands of 8 rows")
    rows: int = setting(8, low=1, high=64, source="FineWeb, datatrove: 14 bands of 8 rows")
    min_jaccard: float | None = setting(
        0.7, low=0.0, high=1.0,
        source="docs/duplicates.md: of the removed at most 2 % lie below it",
        help="Candidates whose sets of character 5-grams are less alike are not linked.",
    )  # fmt: skip
    seed: int = setting(1, low=0, help="Seed of the permutations (datasketch's default).")
    keep: str = setting(
        "longest", help=f"Which document of a cluster stays: {', '.join(KEEP_POLICIES)}."
    )
    source_priority: tuple[str, ...] = setting((), help="Sources, best first.")
    index: str | None = setting(
        None, help="Folder of an index of earlier runs (--save-index): what they kept is dropped."
    )
    clusters: bool = setting(
        False, help="Write duplicates/clusters.parquet: size, sources and weight of each cluster."
    )
    verify: bool = setting(
        False, help="Compare removed documents with the kept ones: duplicates/verify.json."
    )
    verify_documents: int | None = setting(
        10_000, low=1, help="Removed documents compared, a sample by id; off compares all."
    )

    def __post_init__(self) -> None:
        """Refuse a keep policy that there is not."""
        try:
            check_policy(self.keep)
        except UsageError as error:
            raise RecipeError("'duplicates.keep' is none of the choices", value=error.value,
                              fix=error.fix) from None  # fmt: skip

    @property
    def permutations(self) -> int:
        """Length of a signature."""
        return self.bands * self.rows

    def sketch(self) -> dict[str, Any]:
        """Parameters that make signatures."""
        return {"shingle": self.shingle, "shingle_tokens": self.shingle_tokens,
                "permutations": self.permutations, "seed": self.seed}  # fmt: skip

    def policy(self) -> dict[str, Any]:
        """Parameters that choose the document to keep."""
        return {"keep": self.keep, "source_priority": list(self.source_priority)}

    def looked_at(self) -> dict[str, Any]:
        """The policy as a parameter where parts must look up a field for it; else nothing."""
        return {} if field_of(self.keep) is None else {"keep": self.keep}


@dataclass(frozen=True)
class OutputOptions:
    """The ``[output]`` table."""

    keep_dropped: str = setting(
        "text",
        choices=("text", "sample", "none"),
        help="Text of dropped documents: all, some, none.",
    )
    sample_fraction: float = setting(0.01, low=0.0, high=1.0, help="Share for `sample`, by id.")
    part_bytes: int = setting(
        64 << 20, low=1 << 16, high=256 << 20, help="Bytes of text after which a part is full."
    )


@dataclass(frozen=True)
class ErrorBudget:
    """The ``[errors]`` table: when a run stops loudly."""

    max_quarantined_fraction: float | None = setting(
        0.05, low=0.0, high=1.0, help="Largest share of records that may be unreadable."
    )
    min_quarantined: int = setting(100, low=1, help="Fewer unreadable records never stop a run.")


@dataclass(frozen=True)
class CurateRecipe:
    """A whole recipe; every table may be left out."""

    version: int = setting(1, low=1, high=1, help="Format of the recipe.")
    seed: int = setting(0, low=0)
    limit: int | None = setting(
        None, low=1, help="Pages used of each file or group of small files; for trials."
    )
    decide: bool = setting(True, help="Apply the rules; off keeps every document with text.")
    input: tuple[InputSpec, ...] = ()
    read: ReadOptions = field(default_factory=ReadOptions)
    urls: UrlOptions = field(default_factory=UrlOptions)
    extract: ExtractOptions = field(default_factory=ExtractOptions)
    normalize: NormalizeOptions = field(default_factory=NormalizeOptions)
    language: LanguageOptions = field(default_factory=LanguageOptions)
    lines: LineOptions = field(default_factory=LineOptions)
    site: SiteOptions = field(default_factory=SiteOptions)
    measure: Measure = field(default_factory=Measure)
    words: WordOptions = field(default_factory=WordOptions)
    quality: QualityOptions = field(default_factory=QualityOptions)
    perplexity: tuple[PerplexityOptions, ...] = setting(
        (), help="[[perplexity]] tables instead of this line: model, language, head, middle"
    )
    signals: tuple[UserSignals, ...] = setting(
        (), help="[[signals]] tables instead of this line: path, key, columns"
    )
    rules: Rules = field(default_factory=Rules)
    duplicates: DuplicateOptions = field(default_factory=DuplicateOptions)
    spans: SpanOptions = field(default_factory=SpanOptions)
    decontaminate: DecontaminateOptions = field(default_factory=DecontaminateOptions)
    pii: PiiOptions = field(default_factory=PiiOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    errors: ErrorBudget = field(default_factory=ErrorBudget)

    def __post_init__(self) -> None:
        """Refuse rules whose signals are not measured."""
        from .extra_signals import added, check_added

        check_added(self)
        if self.decide and self.rules.published != PublishedThresholds():
            from .decide import check_measured

            measured = {s.name for s in self.active_measure().signals()} | {"lang_score"}
            measured |= set(added(self))
            check_measured(self.rules, measured)

    def active_measure(self) -> Measure:
        """What is measured: all, or what the recipe itself, its rules and its policy ask for."""
        if self.measure.always:
            return self.measure
        known = {signal.name for signal in replace(self.measure, always=True).signals()}
        asked = set(self.measure.also)
        if self.decide:
            from .decide import asked_signals

            asked |= asked_signals(self.rules)
        field = field_of(self.duplicates.keep)
        if field is not None and field not in known and field not in SCHEMA.names:
            return replace(self.measure, always=True)  # of ``meta``, or a slip: the error names all
        asked |= {field} if field is not None else set()
        return replace(self.measure, also=tuple(sorted(asked & known)))

    def active_rules(self) -> Rules:
        """The rules as they act: none where ``decide`` is off."""
        return self.rules if self.decide else no_rules()

    def rule_sources(self) -> dict[str, Any]:
        """What the report says of the rules that are on.

        Returns:
            ``{"thresholds": {rule: {"signal", "routes": {route: threshold},
            "sources": {route: where the threshold is from}}}}``.
        """
        from .decide import ROUTES, rules_in_force

        rules = self.active_rules()
        cuts: dict[str, dict[str, Any]] = {}
        for rule in rules_in_force(rules):
            cut = cuts.setdefault(rule.name, {"signal": rule.signal, "routes": {}, "sources": {}})
            for route in ROUTES:
                if rule.name in (table := rules.in_force(route)):
                    cut["routes"][route], cut["sources"][route] = table[rule.name]
        return {"thresholds": cuts}


def no_rules() -> Rules:
    """Rules of which every one is off."""
    return Rules(languages=None, routed=False)
