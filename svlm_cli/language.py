"""Languages as people and files write them: one code for ``en``, ``eng``, ``EN``, ``en-GB`` and ``en_US``."""

from __future__ import annotations

import re
from functools import cache

UNKNOWN = frozenset({"", "und", "mis", "mul", "qaa"})
"""What files write where nobody said."""

# ISO 639-1 and 639-2/T, two letters and three.
_TERMS = (
    "aaaar ababk aeave afafr akaka amamh anarg arara asasm avava ayaym azaze babak bebel bgbul bhbih "
    "bibis bmbam bnben bobod brbre bsbos cacat ceche chcha cocos crcre csces cuchu cvchv cycym dadan "
    "dedeu dvdiv dzdzo eeewe elell eneng eoepo esspa etest eueus fafas ffful fifin fjfij fofao frfra "
    "fyfry gagle gdgla glglg gngrn guguj gvglv hahau heheb hihin hohmo hrhrv hthat huhun hyhye hzher "
    "iaina idind ieile igibo iiiii ikipk ioido isisl itita iuiku jajpn jvjav kakat kgkon kikik kjkua "
    "kkkaz klkal kmkhm knkan kokor krkau kskas kukur kvkom kwcor kykir lalat lbltz lglug lilim lnlin "
    "lolao ltlit lulub lvlav mgmlg mhmah mimri mkmkd mlmal mnmon mrmar msmsa mtmlt mymya nanau nbnob "
    "ndnde nenep ngndo nlnld nnnno nonor nrnbl nvnav nynya ococi ojoji omorm orori ososs papan "
    "pipli plpol pspus ptpor quque rmroh rnrun roron rurus rwkin sasan scsrd sdsnd sesme sgsag sisin "
    "skslk slslv smsmo snsna sosom sqsqi srsrp ssssw stsot susun svswe swswa tatam tetel tgtgk ththa "
    "titir tktuk tltgl tntsn toton trtur tstso tttat twtwi tytah uguig ukukr ururd uzuzb veven vivie "
    "vovol wawln wowol xhxho yiyid yoyor zazha zhzho zuzul"
)
# ISO 639-2/B, the usual member of a language that ISO 639-3 counts as several, and codes of old.
_OTHERS = (
    "sqalb hyarm eubaq mybur zhchi cscze nldut frfre kageo deger elgre isice mkmac mimao msmay faper rorum "
    "skslo botib cywel hrscr srscc zhcmn ararb fapes mszsm swswh etekk lvlvs sqals nenpi orory uzuzn mnkhk "
    "azazj mgplt heiw idin yiji romo"
)


def language_code(tag: str) -> str:
    """The language of a tag by its shortest code, without region and script: ``eng``, ``en-GB`` are ``en``.

    A code that ISO 639 gives no shorter one (``zxx``, ``gsw``), or does not know, is itself in lower case.
    """
    primary = re.split(r"[-_.]", tag.strip().lower(), maxsplit=1)[0]
    return _shortest().get(primary, primary)


def is_language(tag: str, language: str) -> bool:
    """Whether a tag is of a language, however both are written; what is unknown is of none."""
    code = language_code(tag)
    return code not in UNKNOWN and code == language_code(language)


def is_known(code: str) -> bool:
    """Whether this is a code, or a tag with one, that stands in ISO 639 or has two letters there."""
    return language_code(code) in _codes()


@cache
def _shortest() -> dict[str, str]:
    return {pair[2:]: pair[:2] for pair in f"{_TERMS} {_OTHERS}".split()}


@cache
def _codes() -> frozenset[str]:
    return frozenset(_shortest().values())
