"""What a model writes around an answer, taken away: thoughts, tags, special tokens, JSON, LaTeX, emphasis."""

from __future__ import annotations

import re
import unicodedata

LABEL = (
    r"(?:ans|answer|option|choice|winner|verdict|judge?ment|decision|outcome|vote|selection|selected|preferred|preference|letter|"
    r"label|response|result|output|prediction|pred|final|pick|assistant|solution|conclusion|correct|"
    r"(?:better|best|winning|stronger|closer|correct|right)"
    r"(?:\s+(?:commentary|candidate|one|text|match|fit|answer|option|choice))?|"
    r"antwort|réponse|respuesta|risposta|resposta|ответ|答案|选项|選項|答え|正解|回答|정답|勝者|胜者|победитель|ganador|gagnant|vincitore)"
)

_THOUGHT = re.compile(r"<(think|thinking|reasoning|thought)>.*?(?:</\1>|$)", re.S | re.I)
_THOUGHT_END = re.compile(r"^.*</(?:think|thinking|reasoning|thought)>", re.S | re.I)
_TURN_END = re.compile(
    r"<\|(?:im_end|endoftext|eot_id|end|end_of_text|eom_id|return)\|>|</s>|<eos>|\[(?:EOS|END)\]|<end_of_turn>",
    re.I,
)
_TOKEN = re.compile(
    r"<\|[^<>|]*\|>(?:\s*assistant\b)?|</?s>|<bos>|<pad>|\[/?INST\]|<start_of_turn>(?:model)?"
)
_FORMAT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf)\s*\{([^{}]*)\}")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{([^{}]*)\}")
_LATEX = re.compile(r"\\[()\[\]]|\$")
_HTML = re.compile(
    r"<(b|i|u|p|em|strong|span|div|code|pre|center|h\d|mark)\b[^<>]{0,99}>(.{0,999}?)</\1>", re.I | re.S
)
_BREAK = re.compile(r"<(?:br|hr|p)\s*/?>", re.I)
_BRACKETED = re.compile(r"<([A-Za-z])>")
_OPENING, _CLOSING = re.compile(r"<(\w+)>"), re.compile(r"</\w+>")
_KEY = re.compile(r"[{,]\s*(?:\"([^\"\n]*)\"|'([^'\n]*)')\s*:|\}")
_SQUARE = re.compile(r"\[(/?)(?:final[ _]?)?(?:answer|ans|final|choice|verdict|winner)\]", re.I)
_QUOTED = re.compile(r"(?<!\w)['‘’]([^'‘’\n]{1,3})['‘’](?!\w)")
_FENCE = re.compile(r"^[^\S\n]*(?:```|~~~)\w*\s*$|```", re.M)
_MARKUP = re.compile(r"[*`\"“”„«»#~]|(?<!\w)_+|_+(?!\w)|^[^\S\n]*>+|[\U0001F300-\U0001FAFF✅✓✔➡️👉]", re.M)
_UNSEEN = {"Cf": "", "Cc": " "}
_SPACES = re.compile(r"[^\S\n]+")
_MOST_LETTERS = 20_000  # a reply's middle says nothing of its answer
_STRUCK = re.compile(r"~~[^~]*~~")
_NUMBER = re.compile(r"^\s*(?:Q(?:uestion)?\s*)?\d+\s*[.):]\s+", re.I)
_NEXT_NUMBER = re.compile(r"\n\s*(?:Q(?:uestion)?\s*)?2\s*[.):]\s", re.I)
_SPEAKER = re.compile(r"^\s*(?:assistant|model|ai)\s*(?::|\n)\s*", re.I)
_TITLE = re.compile(rf"^(\W*(?:(?:my|the|our|final|overall)\s+){{0,3}}{LABEL})[ \t]*\n\s*", re.I | re.M)
_UNENDED = re.compile(rf"(\b{LABEL}\s*(?:is)?\s*:?)[ \t]*\n\s*", re.I)
_CHOICES = re.compile(
    r"[(\[]\s*[A-Z](?:\s*(?:[,/|]|or|,\s*or)\s*[A-Z]){1,25}\s*[)\]](?=\s*(?:[:=]|is\b))|[(\[]\s*[A-Z]\s*[-–]\s*[A-Z]\s*[)\]]"
)


def plain(reply: str) -> str:
    """A reply without what models put around answers; tags, boxes and JSON become lines ``name: value``."""
    text = unicodedata.normalize("NFKC", reply)
    text = "".join(each if each == "\n" else _UNSEEN.get(unicodedata.category(each), each) for each in text)
    text = without_thoughts(text)
    if len(text) > _MOST_LETTERS:
        text = f"{text[: _MOST_LETTERS // 4]}\n{text[-_MOST_LETTERS // 2 :]}"
    ended = [part for part in _TURN_END.split(text) if part.strip(" \n")]
    text = _TOKEN.sub("\n", ended[0]) if ended else ""
    text = _BOXED.sub(r"\nanswer: \1\n", _FORMAT.sub(r"\1", _FORMAT.sub(r"\1", text)))
    text = _BREAK.sub("\n", _HTML.sub(r"\2", _HTML.sub(r"\2", _LATEX.sub(" ", text))))
    text = _SQUARE.sub(lambda found: "\n" if found[1] else "\nanswer: ", text)
    text = _BRACKETED.sub(r"(\1)", text)
    text = _CLOSING.sub("\n", _OPENING.sub(_told_as_line, _STRUCK.sub("", text)))
    text = _KEY.sub(_told_as_line, _FENCE.sub("\n", text))
    text = _QUOTED.sub(r"\1", _MARKUP.sub("", text).replace("_", " ")).replace("vs.", "vs")
    text = _SPEAKER.sub("", _SPACES.sub(" ", text).strip())
    text = text if _NEXT_NUMBER.search(text) else _NUMBER.sub("", text)
    return _UNENDED.sub(r"\1 ", _TITLE.sub(r"\1: ", _CHOICES.sub("", text))).strip()


def without_thoughts(reply: str) -> str:
    """A reply without ``<think>...</think>`` and its like, also where one is not opened or not closed."""
    return _THOUGHT_END.sub("", _THOUGHT.sub("", reply))


def _told_as_line(found: re.Match[str]) -> str:
    name = next((each for each in found.groups() if each), "")
    return f"\n{name}: " if name else "\n"
