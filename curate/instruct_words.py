"""What gives a bad question or answer away: patterns of words, Chinese and English.

Our own lists, written after reading the public data sets that docs/instruct.md names.
"""

import re
from typing import Final

_I: Final = re.IGNORECASE

NOTHING: Final = re.compile(
    r"\s*(?:n/?a|none|null|nan|undefined|无输入|无输出|\.+|。+|-+|…+"
    r"|<\s*(?:noinput|nooutput|no input|no output|无输入|无输出|空)\s*>)?\s*", _I)  # fmt: skip
"""All that a turn says when it says nothing."""

_MODEL: Final = r"(?:AI|人工智能|大?语言|大型语言|机器|自然语言处理|虚拟|聊天)"
_CANNOT: Final = (
    r"(?:无法|不能|没有办法|没办法|不便|不可以|无权|不具备|没有能力|不会|不支持|不提供)"
)
REFUSAL: Final = re.compile(
    rf"^\W*(?:非常|很|十分|真)?(?:抱歉|对不起|不好意思)[^。！？\n]{{0,40}}{_CANNOT}"
    rf"|^\W*我(?:是|只是)[^。！？\n]{{0,20}}{_MODEL}[^。！？\n]{{0,30}}{_CANNOT}"
    rf"|^\W*作为(?:一个|一名|一款|一种)?[^。！？\n]{{0,12}}{_MODEL}[^。！？\n]{{0,40}}{_CANNOT}"
    r"|^\W*我(?:无法|不能)(?:提供|回答|完成|满足|帮助|协助|生成|访问|为您|给您|浏览)"
    r"|^\W*(?:i['’]?m (?:very |really |so )?sorry|sorry|i apologi[sz]e|unfortunately|my apologies)"
    r"[^.!?\n]{0,60}\b(?:can['’]?t|cannot|can not|unable|not able|won['’]?t|don['’]t have)"
    r"|^\W*as an? (?:ai|artificial|large|language)[^.!?\n]{0,60}"
    r"\b(?:can['’]?t|cannot|don['’]?t|do not|unable|not able|am not)"
    r"|^\W*i (?:can['’]?t|cannot|am unable to|am not able to) "
    r"(?:help|assist|provide|answer|fulfil|do|comply|create|generate)", _I)  # fmt: skip

ASKS: Final = re.compile(
    r"^.{0,40}(?:您|你)(?:没有|并没有|并未|未|尚未)(?:提供|给出|说明|指定|输入|上传)"
    r"|^.{0,30}(?:没有|未)(?:提供|给出)(?:任何|具体|相关|足够|完整|需要|要)?"
    r"[^。！？\n]{0,12}(?:信息|文章|文本|内容|句子|段落|上下文|数据|输入|列表|单词|问题)"
    r"|^.{0,20}请(?:您|你)?(?:先)?(?:提供|给出|告诉我|输入|发送|粘贴)[^。！？\n]{0,20}"
    r"(?:信息|文章|文本|内容|句子|段落|上下文|数据|细节|列表|单词|主题)"
    r"|^.{0,60}\b(?:you (?:have not|haven['’]t|did not|didn['’]t) "
    r"(?:provide|specif|give|includ)"
    r"|(?:no|not) [^.!?\n]{0,25}(?:was|were|been|is) (?:provided|given))"
    r"|^.{0,40}\bplease (?:provide|share|give|paste|specify)\b[^.!?\n]{0,40}"
    r"\b(?:text|article|passage|sentence|information|details|input|context|content|list|data)", _I,
)  # fmt: skip

_MAKERS: Final = (
    r"(?:ChatGPT|GPT-?[345]|OpenAI|ChatGLM|Claude|Anthropic|文心一言|通义千问|讯飞星火|Bard|Gemini|"
    r"DeepSeek|Kimi|豆包|MOSS|Alpaca)"
)
IDENTITY: Final = re.compile(
    rf"(?:我是|我叫|我的名字(?:是|叫)|本人是)[^。！？，,\n]{{0,12}}{_MAKERS}"
    rf"|(?:我是|我只是|我作为)[^。！？，,\n]{{0,6}}{_MODEL}[^。！？，,\n]{{0,6}}(?:模型|助手|程序|机器人|AI|人工智能)"
    rf"|(?<!如果我)(?<!假设我)作为(?:一个|一名|一款|一种|您的|你的)?(?:由[^。，\n]{{0,12}}(?:训练|开发|创建)的)?"
    rf"(?:大型|基于)?{_MODEL}+(?:语言)?(?:模型|助手|程序|机器人|，我|,我|我)"
    rf"|(?:我|作为)[^。！？\n]{{0,12}}由\s*{_MAKERS}\s*(?:公司)?(?:所)?(?:训练|开发|创建|研发|推出|提供)的(?:大?型?语言|AI|人工智能)"
    r"|我的(?:知识|训练数据)[^。！？\n]{0,8}(?:截止|截至|更新)"
    r"|\bas an? (?:ai|artificial intelligence|large language|language)\b[ -]*"
    r"(?:language |text-based |digital )*(?:model|assistant|program|system|,|chatbot|bot|i\b)"
    rf"|\bi(?:['’]m| am) (?:an? )?(?:{_MAKERS}|ai (?:language )?(?:model|assistant)|language model"
    r"|artificial intelligence)"
    r"|\b(?:i|i['’]m|me)\b[^.!?\n]{0,40}\b(?:developed|trained|created|made) by "
    r"(?:OpenAI|Anthropic|Google)\b"
    r"|\bmy (?:knowledge|training)(?: data)?[^.!?\n]{0,6} cut-?off", _I)  # fmt: skip

MARKERS: Final = re.compile(
    r"<\|(?:im_start|im_end|endoftext|user|assistant|system|Human|MOSS|eot_id|end_of_text)[^|>\n]{0,20}\|>"
    r"|</?s>|<eo[hamtc]>|\[/?INST\]|<</?SYS>>|<start_of_turn>|<end_of_turn>"
    r"|^\s*#{2,}\s*(?:Instruction|Input|Response|Output|Human|Assistant|User|指令|输入|回答|输出)\s*[:：]?"
    r"|^\s*(?:Human|Assistant|USER|ASSISTANT)\s*[:：]"
    r"|^\s*(?:\d+\s*[.、]\s*)?(?:指令|Instruction)\s*[:：]"
    r"|^\s*\d+\s*[.、]\s*说明\s*[:：]"
    r"|\[(?:Human|AI)\]\s*[:：]?", re.MULTILINE)  # fmt: skip
"""Words of prompt formats that no answer holds by itself."""
SPEAKERS: Final = re.compile(
    r"对话|剧本|聊天|访谈|采访|角色|脚本|机器人|客服|提示词|prompt|dialog|script|convers|chat|interview|play|"
    r"human|assistant|format|格式|模板|指令|instruction|token|标记|模型", _I)  # fmt: skip
"""What questions ask when a transcript or a prompt is the answer."""

LABEL: Final = re.compile(
    r"\A\s*(?:###\s*)?(?:输出|答案|回答|回复|答|响应|Output|Answer|Response|Assistant|A)\s*[:：]\s*",
    _I,
)

CONTACT: Final = re.compile(
    r"(?:加|添加|联系|咨询|关注)[^。！？\n]{0,6}(?:微信|QQ|Q群|群号|公众号|V信|vx)"
    r"|(?:微信|V信|vx|wx|wechat)(?:号|公众号|群)?\s*[:：是为]?\s*[A-Za-z][\w-]{5,19}\b"
    r"|\bQQ(?:号|群)?\s*[:：是为]?\s*[1-9]\d{4,10}\b"
    r"|(?:电话|热线|手机|联系方式|咨询电话|服务热线)(?:号码)?\s*[:：是为]?\s*\+?\d[\d -]{6,14}\d"
    r"|扫(?:描)?(?:上方|下方|以下|一下)?二维码|(?:免费|立即|马上)(?:领取|咨询|预约|报名)[^。！？\n]{0,8}(?:热线|电话|微信|链接|课)"
    r"|点击(?:下方|以下|这里的?|此处)?链接(?:领取|咨询|报名|购买|下载)"
    r"|\[(?:WECHAT|QQ|MOBILE|LANDLINE)\]"
    r"|\b(?:add|contact) (?:me|us) (?:on|via) (?:wechat|whatsapp|telegram|qq)\b", _I)  # fmt: skip
LETTERS: Final = re.compile(
    r"模板|格式|信函|邮件|书信|简历|名片|广告|宣传|文案|海报|通知|公告|启事|启示|推销|帖子|推文|微博|合同|表格|申请|请柬|邀请|联系|"
    r"电话|微信|QQ|信$|一封|写信|封信|template|letter|e-?mail|resume|\bcv\b|advert|poster|post\b|invit|"
    r"announce|form\b|contact|phone|card|application|contract|agreement|newsletter"
    r"|campaign|cover|json|csv|format", _I)  # fmt: skip
"""What questions ask when contacts or blanks to fill in belong to the answer."""

PLACEHOLDER: Final = re.compile(
    r"[\[【<]\s*(?:(?:您|你|对方|客户|公司|学校|收件人|发件人|候选人|插入|填写|此处|请?输入)[^\]】>\n]{0,12}"
    r"|姓名|名字|名称|日期|时间|地址|地点|电话|城市|职位|金额|数字|产品名称?|公司名称?)\s*[\]】>]"
    r"|(?<![A-Za-z])[Xx]{3,}(?![A-Za-z])|某某(?:公司|某|人|地|学校)"
    r"|\[(?:(?:your|insert|enter|recipient|company|customer|client|product|sender|employer|hiring)\b"
    r"[^\]\n]{0,40}|(?:full |first |last )?name|date|address|city|phone(?: number)?|email|title"
    r"|position|amount|number)\]",
    _I,
)  # fmt: skip

CODE: Final = re.compile(
    r"代码|编程|程序|脚本|函数|变量|循环|网页|网站|前端|标签|算法|正则|命令|接口|公式|插件|软件|错误|报错|数据库|"
    r"\bAPI\b|html|css|xml|svg|markdown|javascript|\bjs\b|"
    r"python|java|\bphp\b|\bsql\b|\bc\+\+|react|vue|json|yaml|latex|\bcode\b|\btag|script|program|function|\bweb|"
    r"regex|shell|linux|\bbash\b|\bgit\b|\bjsx?\b|excel", _I)  # fmt: skip
LANGUAGES: Final = re.compile(
    r"翻译|译成|译为|译文|英文|英语|中文|汉语|日文|日语|法语|德语|西班牙语|俄语|韩语|意大利语|葡萄牙语|拉丁|阿拉伯语|双语|外语|语言|"
    r"单词|拼写|字母|拼音|词汇|语法|缩写|首字母|translat|english|chinese|mandarin|japanese|french|german|"
    r"spanish|russian|korean|italian|language|pinyin|spell", _I)  # fmt: skip
"""What questions speak of when the answer may be in another script."""
PROSE: Final = re.compile(
    r"\b(?:the|of|and|is|are|to|in|that|for|with|you|it|has|have|was|this|my|your|on|be|can)\b", _I
)
"""Small words of English prose, which lists of names and statements of code do not have."""
STATEMENT: Final = re.compile(r"\bSELECT\b|[{};]\s*$|==|\(\)|=>|</?\w+>", re.MULTILINE)
ADDRESS: Final = re.compile(r"\bURL|网址|域名|域|协议|解析|domain|protocol|pars|link", _I)
"""What questions speak of when a link itself is the matter."""
NO_INPUT: Final = re.compile(
    r"\s*[“\"']?\s*<\s*(?:no ?input|无输入|无|空|none|n/?a)\s*>\s*[”\"']?\s*\Z", _I
)
"""What stands for an input that is not there."""
REGARDS: Final = re.compile(r"此致|敬上|谨启|祝[福愿您你好]|regards|sincerely|yours|cheers", _I)
URL: Final = re.compile(r"(?:https?://|www\.)[^\s\u4e00-\u9fff，。）】]+", _I)
