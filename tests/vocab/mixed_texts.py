"""A few documents on which tokenizers differ: two scripts, white space, rare characters."""

DOCUMENTS = (
    "研墨先于落笔，磨得越细，写得越稳。\n",
    "People create features in 2016, again and again.",
    "  数据清洗 English 混排，龘靐。\tＡＢ",
    "",
    "今天是个好日子，我们一起去北京看长城！" * 3,
    "😀 naïve café ﬁ",
)
FILLED = [text for text in DOCUMENTS if text]
