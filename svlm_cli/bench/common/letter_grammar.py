"""The words around a letter in a reply: what names it the answer, what denies, doubts or takes it back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from svlm_cli.bench.common.replies import LABEL
from svlm_cli.bench.common.verdict_grammar import ADVERB, COMPARATIVE, given, greater, of_one, praised_alone

SENTENCE = re.compile(r"(?<=[.!?])(?<!^\d\.)\s+|(?<=[。！？；])")
CLAUSE = re.compile(r"[,;:]|\b(?:so|therefore|thus|hence|but)\b", re.I)

_SIDE = (
    r"(?i:(?:(?:the|my|our|correct|right|best|better|winning|final)\s+){0,5}"
    r"(?:candidate|commentary|option|choice|answer|letter|assistant|response|alternative|text)\s*:?\s*)?"
)
_COPULA = (
    r"(?:\s*(?:(?:is|was|are|would\s+be|will\s+be|must\s+be|should\s+be|has\s+to\s+be|appears\s+to\s+be|"
    r"seems\s+to\s+be|goes\s+to|lautet|ist|est|es)\b|è|é|是|为|は|:|[-=]+>|=|→|[-–—])"
    rf"(?:\s+{ADVERB})*+)++\s*"
)
_GAP = (
    r"(?:,?\s+(?:here|to|for|of|in|on|among|from|based|according|given|that|which|number|option|letter|choice|with)\b"
    r"[^.;:?]{0,80}?|\s+(?:option|letter|choice))?,?"
)
_CHOOSE = (
    r"(?:choose|chose|pick|picked|select|selected|prefer|opt\s+for|vote\s+for|lean(?:ing)?\s+(?:towards?|to)|go(?:ing)?\s+(?:with|for)|choosing|"
    r"picking|selecting|voting\s+for)"
)
_OPENERS = (
    r"(?:(?:so|therefore|thus|hence|finally|undoubtedly|overall|ultimately|in\s+conclusion|clearly|definitely|obviously|sure|okay|"
    r"ok|yes|well|of\s+course|certainly|i(?:'d|\s+would)?\s+(?:think|believe|say))\b|选|我选|應選|应选)"
)
_BEST = (
    r"(?:better(?!\s+(?:aligned|suited|written|paced|matched)\b)|best|stronger|strongest|superior(?:\s+to(?:\s+(?:candidate|commentary))?\s+[a-z]\b)?|preferable|preferred|"
    r"clos(?:er|est)(?:\s+to\s+(?:the|what)\b(?!\s+(?:other|candidate|commentary|summary)\b)[^.,;]{0,40}?)?|more\s+like\s+(?:an?\s+)?(?:live|real|broadcast|commentat\w+)\b[^.,;]{0,30}?|winner|correct|right|true|"
    r"answer|accurate|most\s+(?:accurate|likely|appropriate|suitable|fitting|plausible)|more\s+(?:accurate|faithful|"
    r"engaging|natural|lively|consistent|broadcast-like)|better\s+(?:aligned|suited|written|paced|matched)\b[^.,;]{0,60}|"
    r"only\s+(?:one|option|choice|answer)\s+that\s+(?:fits|matches|works|is\s+(?:right|correct)|makes\s+sense))"
)
_RIGHT = (
    r"\s*(?:\s(?:(?:is|seems|appears|must\s+be|should\s+be|would\s+be|has\s+to\s+be|looks|sounds|feels|reads)(?:\s+to\s+be)?"
    rf"(?!(?<=would\sbe)\s+(?:{COMPARATIVE})\s+(?:with|if)\b)(?:\s+(?:the|our|my|a|an|clear|obvious|{ADVERB}))*\s+{_BEST}"
    r"(?:\s+(?:answer|option|choice|one|commentary|candidate|response|pick|match|fit|text|overall|here|description|explanation|of\s+the\s+two|"
    r"[io]n\s+(?:both|all|every|general|most)(?:\s+\w+)?|by\s+far|for\s+(?:me|this\s+\w+)))*"
    r"|is\s+(?:my|our|the\s+(?:clear|obvious|better|best|right))\s+(?:(?:clear|overall|final)\s+)?(?:choice|pick|preference|vote)(?!\s+(?:for|in|on)\b)"
    r"|comes\s+out\s+(?:ahead|on\s+top)|(?:performs|does|fares)\s+better|(?:scores|ranks)\s+higher|ranks\s+first|(?:takes\s+(?:it|the\s+win)|deserves\s+the\s+win)(?!\s+(?:for|in|on|as)\b)"
    r"|(?:should|would|must|deserves\s+to)\s+win|(?:best|most\s+(?:accurately|closely|precisely|faithfully))\s+"
    r"(?:describes|matches|fits|captures|represents|answers|reflects|summari[sz]es|explains)(?:\s+[\w'’]+){1,9}?"
    r"|wins(?:\s+(?:overall|here|clearly|by\s+far|on\s+(?:both|all)(?:\s+\w+)?))*|fits\s+best|matches\s+best|"
    r"gets\s+my\s+vote|(?:edges\s+out|beats|outperforms|surpasses)\s+(?:(?:candidate|commentary)\s+)?[a-z]\b|对|正确|更好))"
    r"(?=\s*$|\s*[.!;。]|,?\s+(?:because|since|than|over|as|for|due|and|with|but|while|whereas|although)\b"
    r"|,\s+(?:and\s+)?(?:(?:option|choice|candidate)s?\s+)?(?:[a-z]|the\s+(?:others?|rest)|(?:all\s+)?others)\b[^.,;]{0,30}?\s(?:is|are)\s+"
    r"(?:wrong|incorrect|false|not)\b)"
)

ENDS = re.compile(
    r"(?=\s*$|\s*[,;!。、|]|\s*[.:](?!\w\b|\d|\\)|\s*(?:[-–—]+>?|=+>|→)\s|\s+\("
    r"|です|\s+(?i:for\s+sure|obviously|definitely|certainly|clearly|because|since|as|over|than|which|rather|instead|due|and\s+not|not)\b)"
)
NEGATION = re.compile(
    r"\b(?:not|never|no|neither|nor|none|cannot|wrong|incorrect|false|worst|worse|losing|least|unlikely|except|without|"
    r"refuse[sd]?|declined?|unable|rules?\s+out|ruled\s+out|eliminate|exclude|reject|discard|cross\s+out|doubt|anything\s+but|all\s+but)\b|n[’']t\b",
    re.I,
)
CONDITIONAL = re.compile(r"\W*(?:if|unless|suppose|supposing|assuming|whether)\b", re.I)
CONDITION = re.compile(
    r"\b(?:if|whether|unless|suppose|supposing|assuming|might|may|could|when|while|although|had|were|either|between)\b",
    re.I,
)
HEDGE = re.compile(
    r"\b(?:maybe|perhaps|possibly|probably|unsure|uncertain|unclear|guess(?:ing)?|"
    r"(?:not|n[’']t)\s+(?:\w+\s+)?(?:sure|certain|clear|know|tell|decide)|(?:cannot|impossible\s+to|hard\s+to|"
    r"difficult\s+to)\s+(?:be\s+)?(?:tell|say|know|determined?|decide)|undecided|torn\s+between|toss-?up|coin\s+flip)\b",
    re.I,
)
TAKEN_BACK = re.compile(
    r"(?:^|[.,!?;:)\]–—-]|\.\.\.)\s*(?:(?:oh|but|um|uh|well|actually|and)\b,?\s+)*(?:"
    r"(?:no|oops|hmm+|sorry|nope),?\s+(?:wait|actually|sorry|that|it|scratch|i|the|hold|not|rather)\b"
    r"|(?:wait|hold\s+on|hmm+|oops|sorry)\b(?=\s*(?:$|[,.!?…–—-]|no\b|actually\b|i\b|that\b|the\b|it\b|let\b))"
    r"|actually,?\s+(?:(?:no|it|the|i|that|candidate|option|commentary)\b|\(?(?-i:[A-Z])\b(?!\s+\w))|on\s+second\s+thoughts?\b|scratch\s+that\b|correction\s*[:,]|my\s+mistake\b"
    r"|let\s+me\s+(?:re|think|check|look)|i\s+(?:take\s+(?:it|that)\s+back|changed?\s+my\s+mind)\b)",
    re.I,
)
_DOUBT = (
    r"(?:wait|but|or|and|then|though|although|however|if|unless|hmm+|actually|maybe|perhaps|possibly|probably|"
    r"i\s+guess|i['’]m\s+not|i\s+am\s+not)\b"
)
DENIED = re.compile(
    rf"\s*(?:[,;]+\s*|\.{{2,}}\s*)?\(?(?:no|nope|not|never|{_DOUBT})\b|\s*[:–—-]+\s*(?:(?:no|nope)(?:\W*$|,\s)|{_DOUBT})"
    r"|\s*[?/&+<>✗✘❌×]|\s*\(\s*(?:an?\s+)?(?:tied?|draw|equal|both)\b"
)
JUDGED = re.compile(
    r"[\s.):,;–—-]*\(?(?i:(?:is\s+|that['’]?s\s+|that\s+is\s+|this\s+is\s+)?"
    r"(?:wrong|incorrect|not\s+(?:correct|right|true|it|the\s+answer|possible|likely)|worse|ruled\s+out|eliminated)"
    r"(?=\W*$|\s*[.!,;)]|\s+(?:because|since|as)\b))"
    r"|\s*\)?\s*[:–—-]\s*(?i:not\s+(?:seen|shown|visible|present|mentioned|supported|depicted|matching)|unseen|absent)\b"
    r"|\s*,\s+(?i:which|though|although|while|despite)\b[^,.;]{0,80},\s+(?i:loses|is\s+(?:worse|weaker|inferior|less)|fails|falls\s+short|lacks)\b"
)
VERB = re.compile(
    r"\s+(?:is(?!\s+\w+ing\b)|are|was|were|isn[’']t|aren[’']t|wasn[’']t|seems?|looks|appears?|can|cannot|can[’']t|could|"
    r"might|may|must|does|doesn[’']t|do|did|didn[’']t|should|would|won[’']t|or|and|also|not|never|vs|versus|but|to|"
    r"through)\b"
)
REASON = re.compile(r"\s*(?:[.:)]\s|\b(?:because|since|as|for)\b|[-–—]\s)", re.I)
OWN_DOUBT = re.compile(
    r"\bi\s*(?:am|['’]m)\s+(?:not|un)\s*(?:\w+\s+)?(?:sure|certain)|\bnot\s+(?:entirely\s+|completely\s+)?(?:sure|certain)\b"
    r"|\b(?:low|little|limited|no)\s+(?:confidence|certainty)\b|\b(?:confidence|certainty)\W+(?:is\s+|very\s+)*low\b|\bnot\s+(?:\w+\s+)?confident\b"
    r"|^\W*(?:or|but)\s+(?:maybe|perhaps|possibly|it\s+(?:may|might|could))\b|\bjust\s+a\s+guess\b|\bi\s+(?:guess|may\s+be\s+wrong)\b",
    re.I,
)
_MANNER = r"(?:really|quite|entirely|fully|completely|exactly|honestly|at\s+all)"
_TELL = (
    r"(?:say|tell|know|determined?|decided?|answer(?:ed)?|identif(?:y|ied)|known|told|choose|chosen|judged?)"
)
DISCLAIMED = re.compile(
    r"\W*(?:(?:sorry|well|hmm+|honestly|unfortunately|so|but|and|or|apologies|frankly|actually)\b[\s,.]*)*(?:"
    rf"(?:i|we)\s*(?:(?:am|are|was|['’]m|do|did|can|could)\s*(?:{_MANNER}\s+)?(?:not|n[’']t)|cannot|can[’']t)\s+(?:{_MANNER}\s+)?"
    rf"(?:sure|certain|able\s+to|(?:have|see|find)\s+(?:enough|sufficient|(?:(?:the|an?|any)\s+)?(?:answer|information|context|access|evidence|idea|clue))\b"
    rf"|(?:watch|see|access|view)\s+(?:\w+\s+)?(?:videos?|clips?|images?|pictures?|frames?|footage|it)\b|{_TELL}\b)"
    r"|(?:(?:i|we)\s+have\s+|i['’]ve\s+)?(?:got\s+)?(?:absolutely\s+)?no\s+(?:idea|clue)\b"
    r"|i\s*(?:am|['’]m)\s+(?:un(?:able|certain|sure)|torn|lost)\b|i\s+(?:refuse|decline)\b|i\s+need\s+(?:more|further|additional)\b"
    rf"|(?:(?:it|this|that)(?:['’]s|\s+(?:is|was|seems))?\s+)?(?:{_MANNER}\s+|very\s+|too\s+)*(?:hard|difficult|impossible|tough)\s+to\s+{_TELL}\b"
    rf"|(?:(?:it|this|that|the\s+(?:correct\s+)?answer)\s+)?(?:cannot|can\s*not|can[’']t|could\s+not|couldn[’']t)\s+be\s+{_TELL}\b"
    r"|there\s*(?:is|['’]s|isn[’']t|is\s+not)\s+(?:no|not|a|any|enough|insufficient)\s+(?:(?:single|clear|correct|right|valid|good|enough|sufficient)\s+)*"
    r"(?:answer|option|choice|information|context|evidence|winner)\b"
    r"|(?:not\s+enough|insufficient|too\s+little)\s+(?:information|context|evidence|data|detail)\b"
    r"|the\s+two(?:\s+(?:candidates|commentaries|texts))?\s+are\s+(?:about\s+|roughly\s+)?equal(?:ly\s+(?:good|bad))?(?=\W*$)"
    r"|(?:none|neither)\s+of\s+(?:the(?!\s+others?\b)|these|those|them)\b"
    r"|(?:(?:it|this|that|the\s+(?:answer|winner|verdict|outcome|result))(?:['’]s|\s+is)\s+)?(?:un(?:clear|known|certain|sure|decided)|not\s+(?:\w+\s+)?(?:clear|sure|certain|known))\b"
    r"|(?:(?:it|this)(?:['’]s|\s+is)\s+)?(?:both|neither|none|equal|an?\s+(?:tie|draw)|tied?|draw)(?=\W*$|,))",
    re.I,
)
NONE_OF_THESE = re.compile(r"\W*none\s+of\s+(?:the\s+above|these|those)\W*", re.I)  # the text of an option
REPORTED = re.compile(
    r"\b(?:says|said|claims|claimed|states|stated|argues|argued|announce[sd]|shouts|shouted|reports|reported|mentions|mentioned|"
    r"suggests|implies|predict(?:s|ed)|told|tells|"
    r"(?:some|many|most|few|people|others|they|(?:hardly|barely|scarcely)\s+any(?:one|body)|one\s+(?:could|might|may|would))\s+(?:(?:would|might|may|could|people|readers|will)\s+){0,2}"
    r"(?:say|think|believe|feel|prefer|choose|argue|pick|find))\b",
    re.I,
)
DECISIVE = re.compile(
    r"\b(?:wins|won|winner|winning|overall|altogether|vote|verdict|judge?ment|decision|final|choose|prefer|preferred|"
    r"answer|beats|outperforms|surpasses|edges\s+out|both|all|every)\b",
    re.I,
)
ASPECT = re.compile(
    r"\b(?:more|most|closer|closest|stronger|strongest|accurate|aligned|suited|written|paced|matched)\b", re.I
)
INITIAL = re.compile(
    r"(?:\s*[A-Z]\.)+\s*\w|\s*(?!(?:The|An?|He|She|It|They|Two|Man|Men|Woman|Women|Boy|Girl|Person|People|Child|Kid|Player|"
    r"Team|Ball|Dog|Cat|Someone|Nobody|Everyone|Water|This|That|There|What|Who|Which|Because|Candidate|Commentary|"
    r"Option|Answer|Neither|Both|Yes|No)\b)"
    r"[A-Z][\w'’]+(?:\s+[A-Z][\w'’]+)?\s+(?:is|was|has|had|does|did|can|could|will|would|may|might|scores?d?|shoots?|shot|"
    r"passe[sd]|kick(?:s|ed)|runs?|ran|wins|won|loses|lost|takes|took|hits?|throws|threw|catches|caught|play(?:s|ed)|"
    r"dribble[sd]|moves?d?|walk(?:s|ed)|stands|stood|sits|sat|says|said|speaks|looks|turn(?:s|ed)|goes|went|comes|came|"
    r"gets|got|gives|gave|makes|made|puts|picks|holds|held|opens|closes|jump(?:s|ed)|leaves|left|enters|entered|"
    r"arrive[sd]|appear(?:s|ed)|serve[sd]|saves?d?|tackle[sd]|heads|crosse[sd]|celebrate[sd]|wrote|writes|sings|sang|speaks|spoke|leads|led|fouls|fouled|misse[sd]|"
    r"who)\b"
)


@dataclass(frozen=True, slots=True)
class Grammar:
    """What is looked for, with some letters.

    Args:
        heading: a letter that a sentence begins with.
        named: a letter that stands where a sentence names an answer.
        behind: one in brackets behind the answer's text.
        right: a letter that is said to be right.
        concluded: one that ends a sentence: "so C", "From the video, C", "(option C)", "making C the answer".
            Also "only C fits".
        given: a candidate that a sentence gives the win, or says the other loses to: it is one of the groups.
        of_one: a candidate that is praised in a reply which names no other.
        any_one: a letter that stands alone.
        praised_alone: one that a whole sentence calls better in one way: it is the group.
        several: what makes the letter before it one of several.
        listed: letters that head the parts of a list.
        standing: letters that stand as answers would.
        denied: letters that are named to be set aside.
        other: one that is denied right behind the answer.
        better: ``A > B`` of judges: the letter is the first group or the fifth.
        praised: a candidate that a comparative is said of: the letter is one of the groups.
        alternative: a letter that another sentence offers instead: the letter is the group.
        head: a sentence that is a letter and its mark alone.
    """

    heading: re.Pattern[str]
    named: re.Pattern[str]
    behind: re.Pattern[str]
    right: re.Pattern[str]
    concluded: tuple[re.Pattern[str], ...]
    given: re.Pattern[str]
    of_one: re.Pattern[str]
    any_one: re.Pattern[str]
    praised_alone: re.Pattern[str]
    several: re.Pattern[str]
    listed: re.Pattern[str]
    standing: re.Pattern[str]
    denied: re.Pattern[str]
    other: re.Pattern[str]
    better: re.Pattern[str]
    praised: re.Pattern[str]
    alternative: re.Pattern[str]
    head: re.Pattern[str]


def _concluded(token: str, letters: str) -> tuple[re.Pattern[str], ...]:
    end = r"(?=[^\w?]*$)"
    return (
        re.compile(rf"(?<!or )\b(?i:so|therefore|thus|hence)\s*,?\s+{token}{end}"),
        re.compile(
            rf"^(?:(?!\(\s*(?i:option|choice|answer)\b).)*(?P<open>\()\s*(?i:option|choice|answer)\s*:?\s*"
            rf"(?P<letter>[{letters}])(?P<close>\s*\)){end}"
        ),
        re.compile(
            rf"\b(?i:making|makes|leaving|leaves)\s+{token}\s+(?i:as\s+)?(?i:(?:the|only)\s+)*(?i:{_BEST})"
            rf"(?i:\s+(?:answer|option|choice|one|candidate|match|fit))?{end}"
        ),
        re.compile(
            rf"^\W*(?i:(?:based\s+on|according\s+to|judging\s+by|from|in|given)\s+(?:the|this|these|what)\b[^.,;:?]{{1,60}},)\s*{token}{end}"
        ),
        re.compile(
            rf"\b(?i:i\s+(?:would\s+)?(?:find|consider|judge|rate))\s+{token}\s+(?i:(?:(?:to\s+be|as|the|much|slightly|clearly)\s+)*"
            r"(?:better|best|stronger|superior|preferable|winner|higher|closer))(?=[^\w?]*$|\s+(?:overall|because|than)\b)"
        ),
        re.compile(
            rf"\b(?i:only)\s+{token}\s+(?i:fits|matches|works|makes\s+sense|remains|is\s+(?:left|correct|right|true|plausible))\b"
        ),
    )


def _alternative(letters: str) -> re.Pattern[str]:
    return re.compile(
        r"(?:^|[.!?;\n]\s+)\W*(?i:or|alternatively|otherwise|alternative|another\s+(?:possib\w+|option|answer|choice|candidate))\b"
        rf"[^.!?\n]{{0,60}}?(?<!\w)([{letters}])\b(?!['’]|\s+[a-z])"
        rf"|\b([{letters}])\)?\s+(?:is|are)\s+(?:(?!not\b|never\b|no\b)\w+\s+){{0,2}}?"
        r"(?:correct|right|possible|plausible|also|equally|too)\b"
    )


@cache
def grammar_of(letters: str) -> Grammar:
    """The patterns for these letters."""
    any_case = f"{letters}{letters.lower()}"
    token = rf"{_SIDE}(?P<open>[(\[{{]*)\s*(?P<letter>[{any_case}])(?![A-Za-z0-9_'’])(?P<close>\s*[)\]}}]+)?"
    plain_token = rf"{_SIDE}[(\[{{]*([{letters}])(?![A-Za-z0-9_'’])[)\]}}]*"
    joint = r"(?:as\s+well\s+as|(?:along|together)\s+with|alongside|plus|or|and|vs\.?|versus|to|through|nor)"
    return Grammar(
        re.compile(rf"[^\w(\[{{]*(?:(?i:{_OPENERS})[,.!:]*\s*)*+(?i:that\s+)?{token}"),
        re.compile(
            rf"(?i:\b{LABEL}{_GAP}{_COPULA}|(?:答案|选项|選項|答え|正解|回答|정답)(?:{_COPULA})?"
            rf"|(?<!to )\b(?:final\s+)?(?:answer|ans)\s+"
            rf"|\b(?:it|that|this|which)(?:['’]s|{_COPULA}|\s+(?:means|matches|corresponds\s+to|points\s+to|(?:aligns|agrees|fits|is\s+(?:consistent|in\s+line))\s+with|leads\s+to|makes\s+it)\s+)\s*"
            rf"|(?:^|[,;:]\s*|\blet(?:['’]s|\s+(?:us|me))\s+|\b(?:i|we)(?:['’](?:d|ll|m)|\s+(?:would|will|am|was|have))?\s+(?:rather\s+)?|\bso\s+){_CHOOSE}(?:\s*:\s*|\s+)"
            rf"|\b(?:i|we)(?:['’]d|['’]ll|\s+would|\s+will)?\s+(?:say|answer)\s+(?:it['’]?s\s+|that\s+|with\s+)*"
            rf"|[选選]择?\s*)(?:actually\s+)?{token}"
        ),
        re.compile(
            rf"(?i:\b{LABEL}{_COPULA})[^.;:?()\n]{{1,80}}(?P<open>\()(?P<letter>[{letters}])(?P<close>\))(?=\W*$)"
        ),
        re.compile(
            rf"(?:^[^\w(\[{{]*|[,;:]\s*|\b(?i:so|therefore|thus|hence|that|and|overall|think|believe|while|whereas|but|say)\s+)"
            rf"{token}(?i:{_RIGHT})"
        ),
        _concluded(token, letters),
        given(plain_token),
        of_one(token),
        re.compile(rf"(?<!\w)([{letters}])(?![\w'’])"),
        praised_alone(plain_token),
        re.compile(
            rf"[^\w.]*(?:{joint}\W+(?:\w+\W+)?)?{_SIDE}([{letters}])\b(?!['’]|\s+(?!(?:{joint})\b)\w)|\W*{joint}\s+\w*\s*\(?([{letters}])\b"
        ),
        re.compile(rf"(?:^|[\s,;(])([{letters}])\s*[):.](?!\w\b)(?=\s*\S)", re.M),
        re.compile(
            r"(?:^|[.!?,;:(/]\s*|\b(?i:or|and|but|also|then|either|both|to|option|choice|answer|letter|is|be)\s+)\(?"
            rf"([{letters}])\b(?=\s*(?:[.):,;?]|$|or\b|and\b|is\s+(?:also|right|correct|possible|plausible)\b))"
            rf"|\b(?:or|and)\b\W*(?:\w+\W+)?([{letters}])\b(?!\s+(?:is|are|was|were)\b)",
            re.M,
        ),
        re.compile(
            rf"(?i:\b(?:not|than|over|unlike|instead\s+of|rather\s+than|except|neither|nor)\s+){plain_token}"
            rf"|{plain_token}(?:(?:\s*,\s*|\s+)(?:(?:and|or)\s+)?{plain_token}){{0,9}}\s+(?i:(?:is|are|was|were|do|does|did|can|could)"
            r"(?:n['’]t|\s+(?:\w+\s+){0,2}(?:not|wrong|incorrect|false|ruled|eliminated))\b|cannot\b)"
        ),
        re.compile(
            rf"[\s,;(–—-]*(?i:(?:and|but)\s+)?(?i:not|rather\s+than|instead\s+of|over)\s+{_SIDE}\(?(?P<letter>[{letters}])\b"
        ),
        greater(plain_token),
        re.compile(
            rf"\b([{letters}])\b(?:\s*,\s*(?i:however|though|meanwhile|in\s+turn|on\s+the\s+other\s+hand)\b,?)?"
            rf"(?:(?!\b[{letters}]\b)[^.,;:!?\n]){{0,80}}?\b{COMPARATIVE}\b"
            rf"|\b(?i:goes\s+to|belongs\s+to|prefer|favou?rs?|like)\b(?:(?!\b[{letters}]\b)[^.,;:!?\n]){{0,40}}?\b([{letters}])\b"
            rf"|\b([{letters}])\s+(?i:beats|outperforms|surpasses|edges\s+out)\b"
            rf"|\b{COMPARATIVE}\s+(?i:one|candidate|commentary|text|response)\s*(?i:is|:)\s*{plain_token}"
        ),
        _alternative(letters),
        re.compile(rf"[^\w(\[{{]*{_SIDE}[(\[{{]*[{any_case}][)\]}}]*\.(?:\s[A-Z]\.)*"),
    )
