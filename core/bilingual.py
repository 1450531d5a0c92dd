"""Text of a page in English and Chinese; a switch in the page shows one of them.

A :class:`Bilingual` is the English text wherever a string is wanted (a terminal, JSON, Markdown)
and both on a page. Chinese comes from one table of a package: English template to Chinese template.
"""

import html
from collections.abc import Callable, Mapping
from typing import Any, Final

SWITCH_STYLE: Final = (
    "html[lang|=en] [data-l=zh],html[lang|=zh] [data-l=en]{display:none}"
    ".language{float:right;display:flex;border:1px solid var(--line);border-radius:4px}"
    ".language button{border:0;padding:3px 10px;font:inherit;font-size:13px;cursor:pointer;"
    "background:none;color:var(--soft)}"
    '.language button[aria-pressed="true"]{background:var(--accent);color:var(--paper)}'
    ".language button:focus-visible{outline:2px solid var(--accent);outline-offset:1px}"
    "@media(max-width:720px){.language{float:none;width:max-content;margin:0 0 10px auto}}"
    "@media print{.language{display:none}}"
)
SWITCH: Final = (
    '<div class="language" role="group" aria-label="language · 语言">'
    '<button type="button" data-to="en" lang="en">English</button>'
    '<button type="button" data-to="zh-Hans" lang="zh-Hans">中文</button></div>'
)
# The choice is kept where the browser allows it; a page opened for the first time asks the browser.
SWITCH_SCRIPT: Final = """<script>
(()=>{const root=document.documentElement,names=["aria-label","placeholder","title"];
function speak(to){root.lang=to;const zh=to.startsWith("zh");
document.querySelectorAll(".language button").forEach(b=>
b.setAttribute("aria-pressed",String(b.dataset.to===to)));
for(const name of names)document.querySelectorAll("[data-zh-"+name+"]").forEach(e=>{
if(!e.hasAttribute("data-en-"+name))e.setAttribute("data-en-"+name,e.getAttribute(name));
e.setAttribute(name,e.getAttribute(zh?"data-zh-"+name:"data-en-"+name))});
const h=document.querySelector("h1 [data-l="+(zh?"zh":"en")+"]");if(h)document.title=h.textContent;
document.dispatchEvent(new Event("language"))}
let first=null;try{first=localStorage.getItem("yanmo-language")}catch{}
first=first||(navigator.language||root.lang);
document.querySelectorAll(".language button").forEach(b=>b.addEventListener("click",()=>{
try{localStorage.setItem("yanmo-language",b.dataset.to)}catch{}speak(b.dataset.to)}));
speak(first.startsWith("zh")?"zh-Hans":"en")})();
</script>"""


class Bilingual(str):
    """A string in English that knows its Chinese.

    Attributes:
        zh: the same in Chinese.
    """

    __slots__ = ("zh",)
    zh: str

    def __new__(cls, en: str, zh: str) -> "Bilingual":
        """Make it from both."""
        made = super().__new__(cls, en)
        made.zh = zh
        return made

    def __add__(self, other: str) -> "Bilingual":
        """Both languages, one behind the other."""
        return Bilingual(str(self) + str(other), self.zh + chinese(other))

    def __reduce__(self) -> tuple[type["Bilingual"], tuple[str, str]]:
        """What copies and pickles are made from."""
        return Bilingual, (str(self), self.zh)


def chinese(text: str) -> str:
    """The Chinese of a text; the text itself if it has only one form (a number, a name)."""
    return text.zh if isinstance(text, Bilingual) else text


def markup(text: str, *, tag: str = "span") -> str:
    """Escaped markup: both languages, of which the page shows one.

    Args:
        text: any text.
        tag: element around each language (``tspan`` inside SVG).
    """
    if not isinstance(text, Bilingual):
        return html.escape(text)
    return (
        f'<{tag} data-l="en">{html.escape(str(text))}</{tag}>'
        f'<{tag} data-l="zh">{html.escape(text.zh)}</{tag}>'
    )


def attribute(name: str, text: str) -> str:
    """An attribute in both languages, for instance ``aria-label`` (with a space before it)."""
    shown = f' {name}="{html.escape(str(text))}"'
    if isinstance(text, Bilingual):
        shown += f' data-zh-{name}="{html.escape(text.zh)}"'
    return shown


def translator(table: Mapping[str, str]) -> Callable[..., Bilingual]:
    """The function that says a text in both languages.

    Args:
        table: English template to Chinese template; fields are those of ``str.format``.

    Returns:
        ``say(english, **values)``: values that are bilingual themselves take part in both. It
        raises ``KeyError`` for a text that the table does not hold.
    """

    def say(english: str, **values: Any) -> Bilingual:
        theirs = {
            name: value.zh if isinstance(value, Bilingual) else value
            for name, value in values.items()
        }
        return Bilingual(english.format(**values), table[english].format(**theirs))

    return say
