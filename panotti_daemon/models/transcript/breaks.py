"""Where a line of a caption may end, and how well it reads there.

Netflix's Timed Text Style Guide (General Requirements, Line Treatment), which the BBC's Subtitle Guidelines (3.4) agree
with: after punctuation, before conjunctions and prepositions; not between an article and its noun, a pronoun and its
verb, a first and a last name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

SENTENCE = 0.0
CLAUSE = 2.0
PHRASE = 5.0
WORD = 8.0
NAME = 15.0
BOUND = 25.0
"""What it costs to end a line there: after a sentence or a clause, before a phrase, between any two words, within a
name, between what belongs together."""

SENTENCE_ENDS = tuple(".?!…。？！؟۔।")
_CLAUSE_ENDS = tuple(",;:–—,،؛、，；：")
_CLOSING = "\"'”’“«»)]」』）》〉】〕"
_TITLES = frozenset({"mr", "mrs", "ms", "dr", "prof", "st", "hr", "fr", "sr", "sra"})

_BEGINNERS = {
    language: frozenset(words.split())
    for language, words in {
        "en": """a an the my your his her its our their this that these those some any each every no
            and but or nor so because although though while if unless until when whenever where which who whose whom
            what how why than as whether
            at by for from in into of off on onto over under to toward towards through with within without about above
            across after against along among around before behind below beneath beside between beyond despite during
            except inside like near outside per since till upon via
            i you he she it we they there""",
        "de": """der die das den dem des ein eine einen einem einer eines kein keine keinen mein meine meinen dein deine
            sein seine seinen unser unsere euer eure dieser diese dieses diesen jeder jede jedes
            und oder aber denn weil dass wenn als ob obwohl während bis bevor nachdem damit sondern wie wo was wer warum
            in im ins an am ans auf aus bei beim mit nach von vom zu zum zur für über unter um durch ohne gegen seit vor
            hinter neben zwischen wegen trotz
            ich du er sie es wir ihr man""",
        "fr": """le la les l un une des du de d au aux ce cet cette ces mon ton son ma ta sa mes tes ses notre votre
            leur nos vos leurs
            et ou mais donc ni car que qui dont où quand comme si lorsque puisque parce pourquoi
            à dans en par pour sur sous avec sans chez entre vers depuis pendant avant après contre
            je j tu il elle on nous vous ils elles ne n se s""",
        "es": """el la los las un una unos unas mi tu su mis tus sus nuestro nuestra este esta estos estas ese esa
            y e o u ni pero sino porque que cuando como si aunque mientras donde quien
            a al de del en con por para sin sobre entre hasta desde hacia según tras
            yo él ella nosotros ellos ellas usted no se me te lo""",
        "it": """il lo la i gli le l un uno una mio mia tuo tua suo sua nostro nostra questo questa quel quello quella
            e ed o ma perché che chi quando come se mentre dove anche
            di del dello della dei degli delle a ad al allo alla ai agli alle da dal dalla in nel nello nella nei con su
            sul sulla per tra fra senza
            io tu lui lei noi voi loro non si mi ti ci""",
        "pt": """o a os as um uma uns umas meu minha teu tua seu sua nosso nossa este esta esse essa
            e ou mas porque que quando como se embora enquanto onde quem
            de do da dos das em no na nos nas ao aos à às por pelo pela para com sem sobre entre até desde
            eu tu ele ela nós eles elas você vocês não""",
        "nl": """de het een mijn jouw uw haar ons onze hun dit dat deze die elk elke
            en of maar want omdat als toen hoewel terwijl waar wie wat hoe waarom
            in op aan bij met naar van voor door over onder tegen tussen uit zonder om te tot
            ik jij je hij zij ze wij we jullie u er niet""",
    }.items()
}
"""Articles, conjunctions, prepositions, pronouns: they begin what follows; a line may end before, and not after."""

# Han, Hiragana and Katakana: a line may end after any of them, but for what may not begin one (JIS X 4051).
_IDEOGRAPH = "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_NO_BEGINNING = "、。，．・：；？！…ー々ゝゞヽヾぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ」』）》〉】〕”’"
_NO_END = "「『（《〈【〔"
_PIECE = re.compile(f"[{_NO_END}]*(?:[{_IDEOGRAPH}]|[^{_IDEOGRAPH}{_NO_END}]+)[{_NO_BEGINNING}]*|[{_NO_END}]+")
_IS_IDEOGRAPH = re.compile(f"[{_IDEOGRAPH}]")
_IS_HIRAGANA = re.compile("[\u3040-\u309f]")
_IS_KATAKANA = re.compile("[\u30a0-\u30ff]")
_LEADING_VOWELS = frozenset("เแโใไເແໂໃໄ")
"""Of Thai and Lao: they are written before the consonant that they follow."""


def columns(text: str) -> int:
    """The room that a text takes: an ideograph that of two letters, as in Netflix's guides; an accent none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def pieces(word: str, most: int) -> Iterator[str]:
    """What a word without spaces may be taken apart into: ideographs, and else only what is longer than a line."""
    for piece in _PIECE.findall(word):
        yield from _fitting(piece, most) if columns(piece) > most else [piece]


def _fitting(word: str, most: int) -> Iterator[str]:
    piece, taken = "", 0
    for character in word:
        room = _columns(character)
        if taken + room > most:
            kept = -1 if len(piece) > 1 and piece[-1] in _LEADING_VOWELS else len(piece)
            yield piece[:kept]
            piece = piece[kept:]
            taken = columns(piece)
        piece += character
        taken += room
    yield piece


def cost(before: str, after: str, *, spaced: bool, language: str) -> float:
    """How badly a line ends between the two; `spaced`: there is a space between them."""
    beginning = next(filter(str.isalnum, after), "")
    if not beginning:
        return BOUND
    bare = before.rstrip(_CLOSING)
    first, second = _plain(before), _plain(after)
    if bare.endswith(SENTENCE_ENDS):
        if first in _TITLES or _is_initial(bare):
            return NAME
        return CLAUSE if beginning.islower() else SENTENCE
    if bare.endswith(_CLAUSE_ENDS):
        return CLAUSE
    if not spaced:
        return _unspaced_cost(bare, after)
    beginners = _BEGINNERS.get(language, frozenset())
    if not first or first in beginners:
        return BOUND
    if second in beginners:
        return PHRASE
    return NAME if language != "de" and before[0].isupper() and after[0].isupper() else WORD


def _unspaced_cost(before: str, after: str) -> float:
    """In Japanese, endings and particles are in Hiragana; what follows them is something new."""
    if not (_IS_IDEOGRAPH.match(before[-1:]) or _IS_IDEOGRAPH.match(after)):
        return BOUND
    if _IS_HIRAGANA.match(after) or (_IS_KATAKANA.match(before[-1:]) and _IS_KATAKANA.match(after)):
        return NAME
    return PHRASE if _IS_HIRAGANA.match(before[-1:]) else WORD


def _plain(word: str) -> str:
    """`I'm` is `i`, `the,` is `the`, a dash is nothing."""
    return re.split("['’]", word.lower().strip("\"'“”‘’«»()[].,;:!?…-–—♪"), maxsplit=1)[0]


def _is_initial(word: str) -> bool:
    return len(word) == 2 and word[0].isupper() and word[1] == "."
