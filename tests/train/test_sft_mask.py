"""Which tokens are trained, against masks written by hand and against transformers."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import UsageError
from yanmo.messages import Message
from yanmo.train.sft_mask import Encoded, Masker, NotPrefixSafe, chat_template
from yanmo.vocab.chat import CHATML, ChatTemplate
from yanmo.vocab.load import Tokenizer, load_tokenizer

from .tiny_chats import turns, write_tokenizer

LLAMA = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} "
    "[/INST]{% else %} {{ m['content'] }} {{ eos_token }}{% endif %}{% endfor %}"
)
GENERATION = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' "
    "%}{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}"
    "{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Leaves out what the assistant said before, as templates of reasoning models do with thoughts.
FORGETFUL = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'user' or "
    "loop.last %}{{ m['content'] }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each byte is a token."""
    return write_tokenizer(tmp_path_factory.mktemp("plain"), entries=259)


@pytest.fixture(scope="module")
def merging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("merging"))


def masker_of(folder: Path, template: str | None = None) -> tuple[Masker, Tokenizer]:
    tokenizer = load_tokenizer(folder)
    made = chat_template(folder, tokenizer)
    if template is not None:
        made = ChatTemplate(folder, default=template)
    return Masker(made, tokenizer), tokenizer


def encode(masker: Masker, messages: tuple[Message, ...]) -> Encoded:
    (found,) = masker.encode([masker.spans(messages, where="d")])
    return found


def trained_texts(found: Encoded, tokenizer: Tokenizer) -> list[str]:
    """The texts of the runs of trained tokens."""
    runs: list[list[int]] = [[]]
    for index, on in zip(found.ids.tolist(), found.trained.tolist(), strict=True):
        if on:
            runs[-1].append(index)
        elif runs[-1]:
            runs.append([])
    return [tokenizer.decode(run, skip_special=False) for run in runs if run]


def test_chatml_with_system_and_two_answers_by_hand(plain: Path) -> None:
    """Marker 1, bytes 1 each; what is trained: the answers and <|im_end|>, not the line feed."""
    masker, _ = masker_of(plain)
    found = encode(masker, turns("hi", "yo", "研", "ok.", system="Be"))
    expected = [
        (1 + len("system\nBe") + 1 + 1, False),  # <|im_start|>system\nBe<|im_end|>\n
        (1 + len("user\nhi") + 1 + 1, False),
        (1 + len("assistant\n"), False),
        (len("yo") + 1, True),  # yo<|im_end|>
        (1, False),  # \n
        (1 + len("user\n") + 3 + 1 + 1, False),  # 研 has three bytes
        (1 + len("assistant\n"), False),
        (len("ok.") + 1, True),
    ]  # the line feed behind the last end is nobody's context and is left out
    assert found.trained.tolist() == [on for count, on in expected for _ in range(count)]
    assert (found.answers, found.text_bytes, found.unended, found.merged) == (2, 5, 0, 0)
    assert found.ids[found.trained].tolist()[-1] == 2


def test_another_template_with_bos_and_eos(merging: Path) -> None:
    masker, tokenizer = masker_of(merging, LLAMA)
    found = encode(masker, turns("a", "b", "c", "d"))
    assert trained_texts(found, tokenizer) == [" b <|im_end|>", " d <|im_end|>"]
    assert found.ids[0] == tokenizer.bos_id
    assert found.ids[1] != tokenizer.bos_id


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=2,
                max_size=6))  # fmt: skip
def test_what_is_trained_is_what_the_assistant_says(merging: Path, contents: list[str]) -> None:
    """For any text: white space at its edges, nothing at all, parts of markers."""
    masker, tokenizer = masker_of(merging)
    contents = [text.replace("<|", "<") for text in contents[: len(contents) // 2 * 2]]
    found = encode(masker, turns(*contents))
    answers = contents[1::2]
    assert found.answers == len(answers)
    if not found.merged:
        assert trained_texts(found, tokenizer) == [text + "<|im_end|>" for text in answers]
        assert found.text_bytes == sum(len(text.encode()) for text in answers)


def test_transformers_marks_the_same_tokens(merging: Path, tmp_path: Path) -> None:
    """Its own marking needs a template with {% generation %}; ours does not."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(merging)
    masker, _ = masker_of(merging)
    for contents in (("你好", "好的。", "write", "the ink"), ("a b", "研墨 先于\n落笔")):
        messages = turns(*contents, system="你是助手")
        table = theirs.apply_chat_template(
            [m.table() for m in messages], chat_template=GENERATION, return_dict=True,
            return_assistant_tokens_mask=True,
        )  # fmt: skip
        found = encode(masker, messages)
        length = len(found.ids)
        assert found.ids.tolist() == table["input_ids"][:length]
        assert found.trained.tolist() == [bool(x) for x in table["assistant_masks"][:length]]
        assert not any(table["assistant_masks"][length:])


def test_a_merge_across_the_seam_is_one_token_and_is_not_trained(merging: Path) -> None:
    """Tokenised apart, prompt and answer would have other ids than the text has as a whole."""
    masker, tokenizer = masker_of(merging)
    text, _ = masker.spans(turns("a", "\nb"), where="d")
    seam = tokenizer.piece_to_id("ĊĊ")
    assert seam is not None  # the vocabulary learned two line feeds as one
    found = encode(masker, turns("a", "\nb"))
    assert "assistant\n\nb" in text
    where = found.ids.tolist().index(seam)
    assert not found.trained[where]
    assert found.trained[where + 1]
    assert found.merged == 1
    assert encode(masker, turns("a", "b")).merged == 0


def test_offsets_survive_a_post_processor_that_trims_and_adds(
    merging: Path, tmp_path: Path
) -> None:
    document = json.loads((merging / "tokenizer.json").read_text())
    document["post_processor"] = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False,
    }  # fmt: skip
    for name in ("tokenizer_config.json",):
        (tmp_path / name).write_text((merging / name).read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    one, two = (encode(masker_of(f)[0], turns(" a ", "  b  ")) for f in (merging, tmp_path))
    assert one.ids.tolist() == two.ids.tolist()
    assert one.trained.tolist() == two.trained.tolist()


def test_a_template_that_is_not_prefix_safe_is_refused(merging: Path) -> None:
    masker, _ = masker_of(merging, FORGETFUL)
    masker.spans(turns("a", "b"), where="d")  # one answer is always the last
    with pytest.raises(NotPrefixSafe, match=r"d7: the chat template is not prefix-safe.*jinja"):
        masker.spans(turns("a", "b", "c", "d"), where="d7")


def test_an_answer_that_nothing_ends_is_counted(merging: Path) -> None:
    endless = CHATML.replace("+ '<|im_end|>'", "")
    masker, _ = masker_of(merging, endless)
    assert encode(masker, turns("a", "b", "c", "d")).unended == 2


def test_chatml_is_the_default_where_its_markers_are(merging: Path, tiny_tokenizer: Path) -> None:
    assert chat_template(merging, load_tokenizer(merging)).source == CHATML
    with pytest.raises(UsageError, match=r"lacks the markers of ChatML.*chat_template\.jinja"):
        chat_template(tiny_tokenizer, load_tokenizer(tiny_tokenizer))
