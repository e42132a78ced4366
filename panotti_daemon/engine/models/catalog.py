"""The models that Panotti knows by name: what they can, and what they ask of a machine.

What they ask follows from their shape, so that a model that nobody here has measured can be judged beside `tiny` and
`base`, which were (see docs/models.md).
"""

from __future__ import annotations

from dataclasses import dataclass

_FRAMES = 1200
"""About as many as the encoder sees of a window: 24 s."""
_TOKENS = 100
"""Of a window's text."""
_BEAMS = 5
_BATCH = 4
_VOCABULARY = 51865


@dataclass(frozen=True)
class KnownModel:
    name: str
    repository: str
    """On the Hugging Face hub."""
    megabytes: int
    """Of its download."""
    width: int
    encoder_layers: int
    decoder_layers: int
    english_only: bool = False
    """The distilled models have a multilingual vocabulary, but were taught English alone."""

    @property
    def work(self) -> float:
        """For a second of speech, where that of `tiny` is 1."""
        return self._operations / _TINY._operations

    @property
    def loading_megabytes(self) -> float:
        """The file, and beside it the weights as 8-bit integers; measured 1.8 times the file."""
        return 1.8 * self.megabytes

    @property
    def weights_megabytes(self) -> float:
        return 0.8 * self.megabytes

    @property
    def worker_megabytes(self) -> float:
        """What decoding takes for each window at a time: mostly the keys and values of a batch; measured with all else
        1.85 times these."""
        keys_and_values = 2 * 4 * _BATCH * _FRAMES * self.width * self.decoder_layers
        return 1.85 * keys_and_values / 1e6

    @property
    def _operations(self) -> float:
        encoder = self.encoder_layers * (24 * _FRAMES * self.width**2 + 4 * _FRAMES**2 * self.width)
        decoder = 2 * _BEAMS * _TOKENS * (self.decoder_layers * 16 * self.width**2 + _VOCABULARY * self.width)
        return encoder + decoder


def _systran(name: str, megabytes: int, width: int, layers: int) -> KnownModel:
    return KnownModel(
        name, f"Systran/faster-whisper-{name}", megabytes, width, layers, layers, english_only=name.endswith(".en")
    )


def _distilled(name: str, repository: str, megabytes: int, width: int, encoder: int, decoder: int) -> KnownModel:
    return KnownModel(name, repository, megabytes, width, encoder, decoder, english_only=True)


_TINY = _systran("tiny", 78, 384, 4)

KNOWN = {
    model.name: model
    for model in (
        KnownModel("large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1621, 1280, 32, 4),
        _distilled("distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2", 1516, 1280, 32, 2),
        _distilled("distil-large-v3", "Systran/faster-distil-whisper-large-v3", 1516, 1280, 32, 2),
        _systran("large-v3", 3091, 1280, 32),
        _systran("large-v2", 3090, 1280, 32),
        _systran("large-v1", 3090, 1280, 32),
        _distilled("distil-large-v2", "Systran/faster-distil-whisper-large-v2", 1516, 1280, 32, 2),
        _systran("medium.en", 1530, 1024, 24),
        _distilled("distil-medium.en", "Systran/faster-distil-whisper-medium.en", 792, 1024, 24, 2),
        _systran("medium", 1531, 1024, 24),
        _systran("small.en", 486, 768, 12),
        _distilled("distil-small.en", "Systran/faster-distil-whisper-small.en", 335, 768, 12, 4),
        _systran("small", 486, 768, 12),
        _systran("base.en", 148, 512, 6),
        _systran("base", 148, 512, 6),
        _systran("tiny.en", 78, 384, 4),
        _TINY,
    )
}
"""By name, the best first."""

ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}


def english_only(name: str) -> bool:
    """Of a model that nobody here knows, by its name."""
    known = KNOWN.get(name)
    return known.english_only if known else name.endswith(".en") or "distil" in name


def can_translate(name: str) -> bool:
    """The turbo models are multilingual, but were taught no translation: they write what was said."""
    return not english_only(name) and "turbo" not in name
