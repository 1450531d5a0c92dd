"""What text in each language is written with: letters by frequency, for judging a decoding.

One string a language, ``frequent|middling|rare``. Latin languages list the letters they add to
ASCII, in one group: which of them occur says more than how often.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

FREQUENT, MIDDLING, RARE = 10, 6, 2
"""Worth of a letter of each group, in tenths. Groups hold about 55, 30 and 15 % of running text."""

LATIN: Final = {
    "fr": "éèêëàâçîïôùûüœæÿ",
    "de": "äöüß",
    "es": "áéíóúüñ¡¿ºª",
    "pt": "ãõáâàçéêíóôúüºª",
    "it": "àèéìíòóùú",
    "ca": "àçèéíïòóúü",
    "nl": "éëïóöüèêáàâ",
    "sv": "åäöéàü",
    "da": "æøåéöü",
    "is": "áðéíóúýþæö",
    "pl": "ąćęłńóśźż",
    "cs": "áčďéěíňóřšťúůýž",
    "sk": "áäčďéíĺľňóôŕšťúýž",
    "hu": "áéíóöőúüű",
    "hr": "čćđšž",
    "ro": "ăâîșțşţ",
    "sq": "çë",
    "tr": "çğıöşüİâî",
    "az": "əçğıöşüİ",
    "lt": "ąčęėįšųūž",
    "lv": "āčēģīķļņšūž",
    "et": "äõöüšž",
    "cy": "âêîôûŵŷáàéèïöë",
    "eo": "ĉĝĥĵŝŭ",
    "mt": "ċġħżàèìòù",
    "vi": "ăâđêôơưàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ"
    "\u0300\u0301\u0303\u0309\u0323",
}
"""Source: the exemplar letters of Unicode CLDR (main sets; for nl, sv, da, cy with the auxiliary
letters that loan words bring in), and both the comma and the cedilla letters of Romanian."""

ALPHABETS: Final = {
    "ru": "оеаинтсрвл|кмдпуяыьгзбч|йхжшюцщэфъё",
    "uk": "оанивіетрс|клудмпязьгбч|хйжшюцщєїфґ",
    "be": "анеікрсотл|двмяпуызбгьц|чхйэжшўюёф",
    "bg": "аоиетнрсвл|кдпмзгябуъч|щцжхшюфйь",
    "sr": "аиоентсрвј|кумдплзгбчш|жцњћхљђџф",
    "el": "αοιετσνηυρ|πκμλςωόίάέδγή|θχφβξύώζψϊϋΐΰ",
    "he": "יוהלארתבמש|נכעדםחקפטגצן|סזץךףװױײ\u05b0\u05b1\u05b2\u05b3\u05b4\u05b5\u05b6\u05b7\u05b8"
    "\u05b9\u05bb\u05bc\u05bf\u05c1\u05c2",
    "ar": "اليمونرتبة|عدسفهكقأحج|شطصىخإذزثضغئءؤآظ،؛؟ـ"
    "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652",
    "fa": "ایردنهومتب|سشکزلخگفعقج|پچحطصآئغذضثظژءؤأ،؛؟\u200c",
    "th": "านรอกเง่มยลว|ดทสตัี้ปบคหแจพ|ชขใไโะิืุู็์ผธภซณถศษฟญฐฝฉฮฎฏฒฬฑฆๆฯำึ๊๋ๅ",
}
"""Source: order of letters by frequency in running text; Russian after Lyashevskaya and Sharov
(2009, frequency dictionary of the Russian National Corpus), the others from common counts, of which
only the division into three groups matters here."""

HANS: Final = (
    "的一是用中在个有和以不可了数为这我国行要如人大会们时上能对文发到使本分定你作下来于出成方法生将进理过新地开程入模件加后据面多年"
    "实应型现动就同通果关设表性量点建工代器小化或度提些前所务并么其自内图最式合学全目者制需示何更好部计当间经高问得解主机重参与看题项"
    "子家第业它选展置类向例标系接单存都民也常事从意体集码指序原他之算调请相保信管还说等而统此任种结值区条容持特查因该改始息次样列平日"
    "然步公道取每注但两比变组您什运力义外产输记试具网像基配包情复十安没长很只构元里回正名处明放认源创心期字节推位二语员无被规政水完由"
    "电服求及译编考版总想导确预线户交那别态共做三写练引口流层习测则训去技已备片起市社支资月非给"
)
HANT_ONLY: Final = (
    "個數爲為這國會們時對發來於將進過開後據實應現動關設務點並麼內圖學計當間經問機參與題項業選類標單從體碼調請還說統種結區條該樣兩變"
    "組運義產輸記試網復沒長構裡裏處認創節語員無規電譯編總導確預線戶別態寫練層習測則訓備資給"
)
"""The 300 most frequent hanzi: the mean of their shares in 22 Chinese collections (manuals, news,
law, questions, articles; 400 documents of each), in which they make up 69 % of the hanzi. The
second line adds their traditional forms (OpenCC s2t, and Taiwan's 為 and 裡)."""

HANGUL: Final = (
    "이다는을에의가고하지한로은도기사를어리서나있자인시대그해일아라수만정과보제스들게"
    "부것전주여면장으와니상구적유성생비문안"
)
"""Frequent syllables: particles, verb endings and common roots of Korean, in no strict order."""

PUNCTUATION: Final = "“”‘’–—…«»·•„‚‹›€£©®°§™\u00a0"
CJK_PUNCTUATION: Final = "，。、；：？！（）《》「」『』【】〈〉〔〕“”‘’—…·・～％　－"

SCRIPTS: Final = {
    "cyrillic": ("ru", "uk", "be", "bg", "sr"),
    "central": ("cs", "sk", "pl", "hu", "hr", "ro", "sq", "de"),
    "western": ("fr", "de", "es", "pt", "it", "ca", "nl", "sv", "da", "is", "sq", "et"),
    "turkish": ("tr", "fr", "de", "es"),
    "baltic": ("lt", "lv", "et"),
}
_OF_CODEC: Final = {
    "gb18030": ("zh-Hans", "zh-Hant"),
    "big5hkscs": ("zh-Hant",),
    "hz": ("zh-Hans",),
    "cp932": ("ja",),
    "euc_jp": ("ja",),
    "cp949": ("ko",),
    "johab": ("ko",),
    "cp1250": SCRIPTS["central"],
    "iso8859-2": SCRIPTS["central"],
    "cp852": SCRIPTS["central"],
    "iso8859-16": ("ro", "hr", "hu", "pl", "fr", "de", "it", "sq"),
    "cp1251": SCRIPTS["cyrillic"],
    "koi8-r": ("ru", "bg"),
    "koi8-u": ("ru", "uk"),
    "iso8859-5": SCRIPTS["cyrillic"],
    "mac_cyrillic": SCRIPTS["cyrillic"],
    "cp866": ("ru", "bg"),
    "cp855": SCRIPTS["cyrillic"],
    "cp1252": SCRIPTS["western"],
    "iso8859-15": SCRIPTS["western"],
    "mac_roman": SCRIPTS["western"],
    "cp850": SCRIPTS["western"],
    "cp1253": ("el",),
    "iso8859-7": ("el",),
    "cp1254": SCRIPTS["turkish"],
    "cp1255": ("he",),
    "iso8859-8": ("he",),
    "cp1256": ("ar", "fa", "fr"),
    "iso8859-6": ("ar",),
    "cp874": ("th",),
    "cp1257": SCRIPTS["baltic"],
    "iso8859-4": SCRIPTS["baltic"],
    "iso8859-13": SCRIPTS["baltic"],
    "iso8859-3": ("eo", "mt"),
    "iso8859-10": ("is", "sv", "da", "lt", "lv", "et"),
    "iso8859-14": ("cy", "fr"),
    "cp1258": ("vi", "fr"),
}


@cache
def languages() -> dict[str, dict[str, int]]:
    """For each language the worth of its characters, in tenths.

    Returns:
        Language to ``{character: worth}``; characters that are not there do not belong to it.
    """
    worth = {name: _worth([letters]) for name, letters in LATIN.items()}
    worth |= {name: _worth(groups.split("|")) for name, groups in ALPHABETS.items()}
    for table in worth.values():
        table |= dict.fromkeys(PUNCTUATION, 5)
    return worth | _east_asia()


def languages_of(codec: str) -> tuple[str, ...]:
    """The languages that are written in a codec; for Unicode, and codecs not listed, all."""
    return _OF_CODEC.get(codec, tuple(languages()))


def is_latin(codec: str) -> bool:
    """Whether a one-byte codec serves languages with Latin letters alone."""
    return all(language in LATIN for language in _OF_CODEC.get(codec, ("",)))


def _worth(groups: list[str]) -> dict[str, int]:
    table: dict[str, int] = {}
    for letters, worth in zip(groups, (FREQUENT, MIDDLING, RARE), strict=False):
        # A text in capitals is rarer than one in the wrong case: KOI8-R and Windows-1251 have the
        # same letters at each other's capitals.
        table |= {c: max(1, worth - 3) for c in letters.upper() if c not in table}
        table |= dict.fromkeys(letters, worth)
    return table


def _east_asia() -> dict[str, dict[str, int]]:
    """Chinese, Japanese and Korean. Level 1 of a standard holds its common characters.

    Source: GB 2312-80 rows 16 to 55 (3755 hanzi), Big5 A440 to C67E (5401), JIS X 0208 rows 16 to
    47 (2965 kanji), KS X 1001 rows 16 to 40 (2350 hangul), by Python's codecs.
    """
    kana = {chr(c): FREQUENT for c in range(0x3041, 0x3097)}
    kana |= {chr(c): 7 for c in (*range(0x30A1, 0x30FB), 0x30FC)}
    punctuation = dict.fromkeys(CJK_PUNCTUATION, 7)
    wide = {chr(c): 3 for c in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF5B))}
    shared = {**dict.fromkeys(PUNCTUATION, 3), **wide, **punctuation}
    big5 = set(_big5(0xA4, 0xC6))  # many simplified forms lie in level 2, as other, rare characters
    return {
        "zh-Hans": {**shared, **_plane("gb2312", 16, 87, -2), **_plane("gb2312", 16, 55, 3),
                    **dict.fromkeys(HANS, FREQUENT)},
        "zh-Hant": {**shared, **dict.fromkeys(_big5(0xC9, 0xF9), -2),
                    **dict.fromkeys(big5, 3),
                    **dict.fromkeys(big5.intersection(HANS + HANT_ONLY), FREQUENT)},
        "ja": {**shared, **_plane("euc_jp", 16, 84, -2), **_plane("euc_jp", 16, 47, 4), **kana},
        "ko": {**shared, **_plane("euc_kr", 42, 93, -3), **_plane("euc_kr", 16, 40, 5),
               **dict.fromkeys(HANGUL, FREQUENT)},
    }  # fmt: skip


def _plane(codec: str, first: int, last: int, worth: int) -> dict[str, int]:
    """The characters of rows of a 94 by 94 set in its EUC form."""
    raw = bytes(b for row in range(first, last + 1) for cell in range(1, 95)
                for b in (0xA0 + row, 0xA0 + cell))  # fmt: skip
    return dict.fromkeys(raw.decode(codec, "ignore"), worth)


def _big5(first: int, last: int) -> Iterator[str]:
    for lead in range(first, last + 1):
        for trail in (*range(0x40, 0x7F), *range(0xA1, 0xFF)):
            # Level 1 ends at C67E; what follows are symbols.
            if (lead, trail) <= (0xC6, 0x7E) or lead > 0xC6:
                yield from bytes([lead, trail]).decode("big5", "ignore")
