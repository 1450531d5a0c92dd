"""Texts on which tokenizers go wrong: written ones, and seeded random ones from many scripts."""

import random

WRITTEN = (
    "",
    " ",
    "  两个空格 和 词 ",
    "研墨先于落笔，磨得越细，写得越稳。",
    "In 2016 people create features; 1,234.56 € — naïve café ﬁ ½",
    "国人民警察 中华人民共和国 研究生命起源 乒乓球拍卖完了",
    "中文English混排，没有空格2024年5月1日v1.0.3",
    "\n\n\n第一行\r\n\t第二行\u3000全角空格\u00a0不断行",
    "def f(x):\n    return {k: v for k, v in x.items()}\n\n\n# 注释\n",
    "１２３４ ＡＢＣ （全角） ，：；！？「」『』《》……——",
    "😀👨‍👩‍👧‍👦🇨🇳👍🏽 ☃︎ ①②③ Ⅳ ℃ №",
    "𠀀𪚥𫝆𬺰 〇々〆ヶ 㐀䶵 豈 ⼀",
    "ひらがな カタカナ 한국어 ไทย العربية עברית हिन्दी Ελληνικά кириллица",
    "e\u0301 \u200b\u200d\ufeff \u202e右到左\u202c \ue000\U000f0000",
    "a\u0000b\u0001c\u007f\u0085\u2028\u2029",
    "龘靐齉爩鱻麤 囧氹尕 嘅喺咗 的得地的得地",
    "哈哈哈哈哈哈 ========---- ....…… 啊啊啊",
    "A B C D A：B：C：D\nA\nB\nC\nD 答案：A",
    "http://www.example.com/路径?q=研墨&n=1 user@例子.中国",
    "<0x0A> <0xE4><0xB8><0xAD> <|not_a_token|> [UNK] ##ing",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "繁體中文：資訊、軟體與網際網路；簡體：信息、软件与互联网。",
)
# Alphabets to draw from, each with its share.
_ALPHABETS = (
    (6, "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下"),
    (4, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    (3, " \n\t  "),
    (2, "0123456789"),
    (2, "，。！？；：“”‘’（）《》、…—,.!?;:'\"()[]{}<>/\\|@#$%^&*-_=+~`"),
    (1, "\u3000\u00a0\u200b\u200d\ufeff\u2028\u0085\r\u0000\u0001\u007f"),
    (1, "あいうえおカキクケコ가나다라ไทยعربיהहिелΩ"),
    (1, "😀👍🏽👨‍👩‍👧☃❤️①Ⅳ℃½"),
)
_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x0000, 0x00FF),
    (0x0100, 0x2FFF),
    (0x3000, 0x33FF),
    (0xAC00, 0xD7A3),
    (0xE000, 0xFFFD),
    (0x10000, 0x1F9FF),
    (0x2A700, 0x323AF),
    (0xE0000, 0x10FFFF),
)


def random_texts(count: int, seed: int) -> list[str]:
    """Seeded random texts of up to 40 characters from Han, Latin, digits, spaces and all Unicode.

    Args:
        count: how many.
        seed: equal seeds give equal texts.
    """
    generator = random.Random(seed)
    weights = [weight for weight, _ in _ALPHABETS]
    texts = []
    for _ in range(count):
        length = generator.randrange(1, 41)
        characters: list[str] = []
        while len(characters) < length:
            if generator.random() < 0.1:
                low, high = generator.choice(_RANGES)
                characters.append(chr(generator.randint(low, high)))
                continue
            alphabet = generator.choices(_ALPHABETS, weights)[0][1]
            characters += generator.choices(alphabet, k=generator.randrange(1, 5))
        texts.append("".join(characters))
    return texts
