"""How a verdict on two candidates is worded: praise, comparisons, and what takes them back."""

from __future__ import annotations

import re

from svlm_cli.bench.common.replies import LABEL

ADVERB = (
    r"(?:clearly|definitely|slightly|much|far|overall|therefore|thus|indeed|simply|just|certainly|obviously|"
    r"evidently|significantly|marginally|somewhat|considerably|noticeably|still|also|equally|generally|most\s+likely)"
)
COMPARATIVE = (
    r"(?i:more|better|best|closer|stronger|superior|preferable|(?!worse|slower|weaker|duller|drier|poorer|flatter|vaguer|blander|"
    r"over|other|another|rather|after|under|never|however|whether|player|answer|winner|number|viewer|commenter|"
    r"announcer|later|enter|layer|letter)[a-z]{3,}er)"
)
_ELSE = (  # what a text had better not be close to
    r"(?!\s+(?:to|with|for)\s+(?:(?!an?\s+(?:(?!than\b)\w+[\s-]+){0,2}?(?:live|real|human|professional|broadcast|"
    r"commentat\w+|commentary)\b)an?|nothing|prose|noise|nonsense|hallucinat\w+|summar\w+)\b)"
)
_SAID_OF_ONE = (
    rf"\s+(?:{ADVERB}\s+)*(?:"
    r"(?:better|best|more\s+[a-z]+ly|most\s+[a-z]+ly)\s+(?:matche|align|capture|reflect|fit|follow|mirror|convey|describe|represent|agree|cover)s"
    r"|(?:matche|align|capture|reflect|fit|follow|mirror|convey|describe|represent|agree|cover)s\b[^.;!?\n]{0,80}?\b"
    r"(?:better|best|(?:more|most)\s+(?:closely|accurately|faithfully|fully|precisely|naturally))"
    rf"|(?:is|seems|appears)\s+(?:{ADVERB}\s+)*(?:(?:the|a)\s+)?(?:closer|closest|nearer|nearest|truer|truest|better\s+match|"
    r"(?:more|most)\s+(?:accurate|faithful|consistent|engaging|natural|lively|similar|aligned|precise))"
    r"|(?:does|provides|offers|gives|has|makes)\s+(?:the|a)\s+(?:\w+\s+)?(?:better|best|closer|closest|stronger|strongest)\s+(?:job|commentary|match|fit|text)"
    r"|(?:has|takes|gets)\s+(?:the|my|a)\s+(?:(?:slight|clear|small)\s+)?(?:edge|vote|nod|advantage)"
    r"|wins(?=\W*$|\s*[.,;:!)]|\s+(?:overall|here|clearly|easily|out|by|because|since|as|due|with|in|on|for|this|over|against|the\s+(?:comparison|contest|vote|duel))\b)"
    rf")\b{_ELSE}(?![^.!?\n]*\b(?:not|never|less|only|except|unless|if|loses|lost|lacks|misses|fails|worse|weaker|mistakes)\b)|\s+it\s+is(?=\W*$)"
)
TURNED = re.compile(r"\b(?:however|but|though|although|yet|nevertheless|still|except|while|whereas)\b", re.I)
BARE = re.compile(  # letters and nothing else
    r"(?:[^\w<>]*(?:(?:candidate|commentary|option|choice|answer|text|model|response|and)\s+)*[A-Z]\b){2,99}[^\w<>]*",
    re.I,
)
ACCURATE = re.compile(r"(?<!more )(?<!most )\baccurate\b", re.I)  # the other one may be, too
ECHO = re.compile(  # both candidates, or all options, under a title
    rf"\b{LABEL}\s*:?\s*[-•]?\s*(?:(?:candidate|commentary)\s+)?([A-Z])\s*([:.)]) [^\n]+\n+\s*[-•]?\s*"
    r"(?:(?:candidate|commentary)\s+)?(?!\1\b)([A-Z])\s*\2 ",
    re.I,
)
FIRST_LOOK = re.compile(
    r"\b(?:at\s+first(?:\s+(?:glance|sight|look))?|initially)\b(?![^.!?]*\b(?:but|yet|however|overall|so|therefore|thus|hence)\b)",
    re.I,
)
SCORE = re.compile(r"\s*:\s*\d+(?:\.\d+)?\s*(?:/\s*\d+)?[^\w]*")
RIVAL = re.compile(  # the candidate that is not named, praised
    r"(?<!than )(?<!over )(?<!beats )"
    r"\b(?:the|its)\s+(?:other|former|latter|rival|(?:first|second)(?=\s+(?:one|candidate|"
    r"commentary|text|response|model|is|has|does|wins|in|on)\b))\b(?:\s+(?:one|candidate|commentary|text|response|model))?"
    rf"(?:\s+(?:in|on|for|leads)\b|[^.;!?\n]{{0,60}}?\b(?:{COMPARATIVE}|edge|wins|win|prefer\w*)\b)",
    re.I,
)


def given(letter: str) -> re.Pattern[str]:
    """A candidate that a whole sentence gives the win: one of the groups."""
    end = r"(?=[^\w?]*$|,?\s+because\b)"
    begin = r"^\W*(?i:(?:overall|so|therefore|thus|hence|i\s+think|i\s+believe)\b,?\s+)*"
    prize = r"(?:edge|win|victory|vote|nod|advantage|preference|prize|point)"
    kind = r"(?:(?:the|a|an|my|this|it|slight|clear|narrow|final|overall|easy|small|definite|decisive)\s+)*"
    side = r"(?:candidate|commentary|model|one|text|response|option)"
    lost = (
        rf"(?:(?:loses|lost)\s+to|is\s+(?:{ADVERB}\s+)*(?:(?:worse|weaker|less\s+\w+)\s+than|inferior\s+to"
        r"|(?:beaten|outperformed|surpassed)\s+by))"
    )
    return re.compile(
        rf"{begin}(?i:{kind}{prize}\s+(?:(?:goes|belongs)\s+)?(?:to|for|with))\s+{letter}{end}"
        rf"|{begin}(?i:i(?:['’]d|['’]ll|\s+would|\s+will)?\s+(?:give\s+(?:it|{kind}{prize})\s+to|vote(?:\s+for)?))\s+{letter}{end}"
        rf"|{begin}(?i:model)\s+{letter}{end}"
        rf"|{begin}(?i:(?:the|my)\s+)?(?i:(?:preferred|better|best|winning|superior)\s+{side}\s*(?:is|:))\s*{letter}{end}"
        rf"|{begin}(?i:(?:candidate|commentary)\s+)?[A-Z]\s+(?i:{lost})\s+{letter}{end}"
    )


def praised_alone(plain_token: str) -> re.Pattern[str]:
    """A candidate that a whole sentence calls better in one way: the group."""
    return re.compile(
        rf"^\W*(?i:the\s+(?:more\s+[\w-]+|{COMPARATIVE})\s+(?:candidate|commentary|one|text|response)\s*(?:is|:))\s*{plain_token}\W*$"
    )


def of_one(token: str) -> re.Pattern[str]:
    """A candidate that is praised, for replies that name no other."""
    return re.compile(
        rf"(?:^[^\w(\[{{]*|[,;:]\s*|\b(?i:so|therefore|thus|hence|that|and|overall|think|believe|but|say)\s+)"
        rf"(?i:model\s+)?{token}(?i:{_SAID_OF_ONE})"
    )


def greater(plain_token: str) -> re.Pattern[str]:
    """``A > B``: the letter is the first group or the fifth."""
    return re.compile(
        rf"(?:^|[:,.]\s*|\bis\s*)[^\w(\[{{]{{0,9}}{plain_token}\s*(>)>*\s*{plain_token}(?=\W*$|,?\s+because\b)"
        rf"|(?:^|[:,.]\s*|\bis\s*)[^\w(\[{{]{{0,9}}{plain_token}\s*<<*\s*{plain_token}(?=\W*$|,?\s+because\b)"
    )
