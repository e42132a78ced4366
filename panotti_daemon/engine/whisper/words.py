"""When each word of a window was spoken, as the model's attention tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ctranslate2 import StorageView
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import merge_punctuations

from panotti_daemon.engine.media.audio import Samples
from panotti_daemon.models.transcript.models import Word

# As in `WhisperModel.transcribe`.
PUNCTUATION_BEFORE = "\"'“¿([{-"
PUNCTUATION_BEHIND = "\"'.。,，!！?？:：”)]}、"
_FRAMES_A_SECOND = 100


def align(
    whisper: WhisperModel, tokenizer: Tokenizer, encoded: Samples, texts: Sequence[Sequence[int]], seconds: float
) -> list[tuple[Word, ...]]:
    """The words of each text of one window, given as tokens in the order of their speaking; times are the window's."""
    tokens = [token for text in texts for token in text]
    if not tokens:
        return [() for _ in texts]
    frames = round(seconds * _FRAMES_A_SECOND)
    (found,) = whisper.find_alignment(tokenizer, [tokens], StorageView.from_array(encoded), frames)
    merge_punctuations(found, PUNCTUATION_BEFORE, PUNCTUATION_BEHIND)
    words = list(_words(found, seconds))
    shared = []
    end = 0
    for text in texts:
        start, end = end, end + len(text)
        shared.append(tuple(word for position, word in words if start <= position < end))
    return shared


def _words(found: Sequence[dict[str, object]], seconds: float) -> Iterator[tuple[int, Word]]:
    """Each word with the number of its first token."""
    position = 0
    for alignment in found:
        tokens, text = alignment["tokens"], str(alignment["word"])
        start, end, probability = (float(str(alignment[key])) for key in ("start", "end", "probability"))
        if text.strip():
            yield position, Word(start=min(start, seconds), end=min(end, seconds), text=text, probability=probability)
        assert isinstance(tokens, list)
        position += len(tokens)
