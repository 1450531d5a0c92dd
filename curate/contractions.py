"""Words that spaCy's English rules cut at set places, or not at all.

Pronouns and auxiliaries with what is cut off them (``he`` and ``'ll``, with the apostrophe or
without), times, abbreviations with a full stop, smileys. The forms follow from grammar; which of
them spaCy lists is a fact about its version 3.8.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

UNITS: Final = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s"
    " km/h kmh mph hPa Pa mbar mb MB kb KB gb GB tb TB T G M K %"
)
"""Cut off a number."""
_WHOLE: Final = (
    "Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind."
    " Jan. Jul. Jun. Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y."
    " Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros."
    " co. Co. Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo."
    " Mont. Mr. Mrs. Ms. p.m. Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s. and/or w/o 're 'cause 'Cause"
    " 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am Ma'am o'clock O'clock lovin' Lovin' havin' Havin'"
    " doin' Doin' goin' Goin' nothin' Nothin' nuthin' Nuthin' ol' Ol' somethin' Somethin' 'em 'll"
    " 'nuff 'S 's 'd C++ '' ' —"
)
"""Kept whole although a rule would cut them: states, months, titles, dropped letters, smileys."""
_SMILEYS: Final = (
    "(: (-: =) (= [: [-: [= =] :o) (o: (-8 (; (-; ): )-: =( >:( =/ =| ]= =[ :1 :() >:o =3 =D"
    " xD XD xDD XDD ^_^ ^__^ ^___^ ;_; -_- -__- o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0"
    " o.0 0.o v.v V.V v_v V_V >.< >.> <.< ._. @_@ <3 <33 <333 </3 (^_^) (-_-) (._.) (>_<) (*_*)"
)
"""Smileys that are not eyes, perhaps a nose, and a mouth."""
_FACES: Final = (
    (":", ") )) ))) ] } ( (( ((( / | P p O o 0 * 3 > X x D"),
    (";", ") D"),
    ("8", ") D"),
    (":'", ") ("),
)
"""Eyes, and the mouths that go with them."""
_OTHERS: Final = (
    *("y' all", "y all", "how 'd 'y", "How 'd 'y", "not 've", "not ve", "Not 've", "Not ve"),
    *("can not", "Can not", "gon na", "Gon na", "got ta", "Got ta", "let 's", "Let 's"),
    *("c'm on", "C'm on"),
)
_EXCLUDED: Final = frozenset(
    form
    for word in ("ill", "its", "hell", "shell", "shed", "were", "well", "whore")
    for form in (word, word.title())
)


def _clitics() -> Iterator[tuple[str, ...]]:
    """Words with what is cut off them, in lower case, with an apostrophe."""
    for word in ("i", "you", "he", "she", "it", "we", "they"):
        yield from ((word, "'ll"), (word, "'ll", "'ve"), (word, "'d"), (word, "'d", "'ve"))
    yield from (("i", "'m"), ("i", "'m", "a"))
    yield from ((word, "'ve") for word in ("i", "you", "we", "they"))
    yield from ((word, "'re") for word in ("you", "we", "they"))
    yield from ((word, "'s") for word in ("he", "she", "it"))
    asking = ("who", "what", "when", "where", "why", "how", "there")
    for word in (*asking, "that", "this", "these", "those"):
        yield from ((word, "'ll"), (word, "'ll", "'ve"), (word, "'d"), (word, "'d", "'ve"))
        if word not in ("these", "those"):
            yield word, "'s"
        if word not in ("that", "this"):
            yield from ((word, "'re"), (word, "'ve"))
    modal = ("could", "might", "must", "should", "would")
    plain = ("ca", "do", "does", "did", "had", "may", "need", "ought", "sha", "wo")
    for word in (*modal, *plain):
        yield from ((word, "n't"), (word, "n't", "'ve"))
    yield from ((word, "'ve") for word in modal)
    yield from ((word, "n't") for word in ("ai", "are", "is", "was", "were", "have", "has", "dare"))


@cache
def specials() -> dict[str, tuple[int, ...]]:
    """Listed strings and the lengths of their pieces, in characters."""
    found: dict[str, tuple[int, ...]] = {}
    for pieces in _clitics():
        for first in (pieces[0], pieces[0].title()):
            whole = (first, *pieces[1:])
            bare = tuple(piece.replace("'", "") for piece in whole)
            found["".join(whole)] = tuple(map(len, whole))
            found["".join(bare)] = tuple(map(len, bare))
    for hour in range(1, 13):
        for half in ("am", "pm", "a.m.", "p.m."):
            found[f"{hour}{half}"] = (len(str(hour)), len(half))
    for text in _OTHERS:
        found[text.replace(" ", "")] = tuple(map(len, text.split()))
    smileys = [f"{eyes}{nose}{m}" for eyes, mouths in _FACES for nose in ("", "-")
               for m in mouths.split()]  # fmt: skip
    for whole_text in (
        *_WHOLE.split(),
        *_SMILEYS.split(),
        *smileys,
        *(f"{letter}." for letter in "abcdefghijklmnopqrstuvwxyzäöü"),
    ):
        found[whole_text] = (len(whole_text),)
    found = {text: pieces for text, pieces in found.items() if text not in _EXCLUDED}
    # The curly apostrophe stands for the straight one.
    return found | {text.replace("'", "’"): pieces for text, pieces in found.items()}
