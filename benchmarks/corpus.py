"""The recordings that the benchmarks use, each with the words that are spoken in it, made from what packages carry.

Recorded speech is that of LibriVox (Debian's pocketsphinx-testdata); voices of flite and espeak-ng speak the rest. All
of it is the same on every run.
"""

from __future__ import annotations

import subprocess
import wave
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from tests.speech import ffmpeg, librivox_sentences

RATE = 16_000
CACHE = user_cache_path("panotti-benchmarks")
HERE = Path(__file__).parent

Samples = NDArray[np.float64]

LANGUAGES = {"de": "de", "fr": "fr-fr", "es": "es", "it": "it"}
"""Beside English: the voice of espeak-ng that speaks each."""
_VOICES = ("flite slt", "flite rms", "flite awb", "flite kal16", "espeak en-us", "espeak en-gb")


@dataclass(frozen=True)
class Clip:
    name: str
    path: Path
    words: str
    """What is spoken in it; empty where nobody speaks."""
    seconds: float


def clean() -> Clip:
    """Several minutes of several voices, half a second between sentences."""
    return _clip("clean", _joined((samples, 0.5) for samples, _ in _sentences()), _all_words())


def noisy() -> Clip:
    """The same in a room with a fan: pink noise, 10 dB below the speech."""
    speech = _joined((samples, 0.5) for samples, _ in _sentences())
    noise = _pink(len(speech), seed=1)
    return _clip("noisy", speech + noise * _loudness(speech) / _loudness(noise) * 10 ** (-10 / 20), _all_words())


def in_noise(noise: str, decibels: int, part: int) -> Clip:
    """A third of the clean clip, that much louder than the noise, which is another one for each part."""
    sentences = list(_sentences())[part::3]
    speech = _joined((samples, 0.5) for samples, _ in sentences)
    sound = NOISES[noise](len(speech), part)
    loudness = _loudness(speech) / (_loudness(sound) or 1) * 10 ** (-decibels / 20)
    mixed = speech + sound * loudness
    words = " ".join(words for _, words in sentences)
    return _clip(f"{noise}-{decibels}-{part}", mixed * min(1, 0.95 / np.abs(mixed).max()), words)


def gappy() -> Clip:
    """Short utterances between long silences, which are those of a microphone and not of zeros."""
    lines = _lines("short.txt")
    silences = cycle((3.0, 8.0, 20.0, 45.0, 12.0))
    spoken = zip(_spoken(lines), silences, strict=False)
    speech = _joined(spoken)
    return _clip("gappy", speech + _pink(len(speech), seed=2) * 1e-4, " ".join(lines))


def foreign(language: str) -> Clip:
    """Sentences of one of `LANGUAGES`, spoken by a man and by a woman."""
    lines = _lines(f"languages/{language}.txt")
    voices = (f"espeak {LANGUAGES[language]}", f"espeak {LANGUAGES[language]}+f3")
    spoken = [(samples, 0.5) for voice in voices for samples in _spoken(lines, [voice])]
    return _clip(language, _joined(spoken), " ".join(lines * len(voices)))


def wordless() -> list[Clip]:
    """A minute each of what nobody says a word in."""
    seconds = np.arange(60 * RATE) / RATE
    generator = np.random.default_rng(3)
    sounds = {
        "silence": np.zeros(len(seconds)),
        "hiss": generator.normal(0, 0.003, len(seconds)),
        "noise": generator.normal(0, 0.1, len(seconds)),
        "fan": _pink(len(seconds), seed=4) * 0.1,
        "tones": 0.3 * np.sin(2 * np.pi * 440 * seconds) * (seconds % 2 < 1),
        "hum": sum((0.1 / n * np.sin(2 * np.pi * 50 * n * seconds) for n in range(1, 9)), np.zeros(len(seconds))),
        "music": _music(seconds),
    }
    return [_clip(name, samples, "") for name, samples in sounds.items()]


def excerpt(clip: Clip, seconds: float) -> Clip:
    """How it begins."""
    return _clip(f"{clip.name}-{seconds:g}s", _read(clip.path)[: round(seconds * RATE)], "")


def variant(clip: Clip, number: int) -> Path:
    """Other content that takes as long: Panotti transcribes nothing twice."""
    samples = np.append(_read(clip.path), np.zeros(number + 1))
    return _clip(f"{clip.name}-variant{number}", samples, clip.words).path


def long(minutes: float) -> Path:
    """The clean clip, over and over."""
    path = CACHE / f"long-{minutes:g}.flac"
    if not path.exists():
        part = path.with_suffix(".part.flac")
        ffmpeg("-stream_loop", "-1", "-i", clean().path, "-t", str(60 * minutes), "-c:a", "flac", part)
        part.rename(path)
    return path


def _clip(name: str, samples: Samples, words: str) -> Clip:
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"{name}.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return Clip(name, path, words, len(samples) / RATE)


def _lines(name: str) -> list[str]:
    return (HERE / name).read_text(encoding="utf-8").splitlines()


def _all_words() -> str:
    return " ".join(words for _, words in _sentences())


def _sentences() -> Iterator[tuple[Samples, str]]:
    """Recorded ones among the synthetic ones."""
    recorded = cycle(librivox_sentences().items())
    lines = _lines("sentences.txt")
    for number, (samples, words) in enumerate(zip(_spoken(lines), lines, strict=True)):
        if number % 4 == 0:
            path, sentence = next(recorded)
            yield _read(path), sentence
        yield samples, words


def _spoken(lines: Iterable[str], voices: Sequence[str] = _VOICES) -> Iterator[Samples]:
    folder = CACHE / "spoken"
    folder.mkdir(parents=True, exist_ok=True)
    for line, voice in zip(lines, cycle(voices), strict=False):
        words = "".join(letter for letter in line if letter.isalnum() or letter == " ")
        path = folder / f"{voice} {words[:80]}.wav"
        if not path.exists():
            _speak(voice, line, path)
        yield _read(path)


def _speak(voice: str, line: str, target: Path) -> None:
    program, name = voice.split()
    raw = target.with_suffix(".raw.wav")
    if program == "flite":
        subprocess.run(["flite", "-voice", name, "-t", line, "-o", raw], check=True)
    else:
        subprocess.run(["espeak-ng", "-v", name, "-s", "150", "-w", raw, line], check=True)
    part = target.with_suffix(".part.wav")
    ffmpeg("-i", raw, "-ar", str(RATE), "-ac", "1", "-af", "loudnorm=I=-23", "-ar", str(RATE), part)
    raw.unlink()
    part.rename(target)


def _read(path: Path) -> Samples:
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 32768


def _joined(parts: Iterable[tuple[Samples, float]]) -> Samples:
    """Each part with so many seconds of silence behind it."""
    return np.concatenate([np.pad(samples, (0, round(silence * RATE))) for samples, silence in parts])


def _loudness(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def _pink(length: int, seed: int) -> Samples:
    """Noise with as much power in each octave, of loudness 1."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=length))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise: Samples = np.fft.irfft(spectrum, length)
    return noise / _loudness(noise)


def _hum(length: int, seed: int) -> Samples:
    """That of the mains, with its overtones."""
    phases = np.arange(length) / RATE * 50 * 2 * np.pi + seed
    return sum((np.sin(number * phases) / number for number in range(1, 21)), np.zeros(length))


def _babble(length: int, seed: int) -> Samples:
    """Six people who talk at once."""
    speech = np.concatenate([samples for samples, _ in _sentences()])
    voices = (np.roll(speech, -len(speech) * voice // 7 - seed * RATE) for voice in range(1, 7))
    return sum((np.resize(voice, length) for voice in voices), np.zeros(length))


NOISES: dict[str, Callable[[int, int], Samples]] = {
    "none": lambda length, _: np.zeros(length),
    "fan": _pink,
    "hum": _hum,
    "babble": _babble,
}
"""By name: so many samples of it, another one for each seed."""


def _music(seconds: Samples) -> Samples:
    """Four chords, a melody over them and a drum under them."""
    chords = np.array([[220.0, 261.6, 329.6], [174.6, 220.0, 261.6], [261.6, 329.6, 392.0], [196.0, 246.9, 293.7]])
    beat = (seconds * 2).astype(int)
    fading = np.exp(-3 * (seconds * 2 % 1))
    notes = [*chords[beat // 4 % 4].T, 2 * chords[beat // 4 % 4, beat * 5 % 3]]
    strings = sum((np.sin(2 * np.pi * np.cumsum(note) / RATE) for note in notes), np.zeros(len(seconds)))
    drum = np.random.default_rng(5).normal(size=len(seconds)) * np.exp(-30 * (seconds * 2 % 1))
    return 0.12 * strings * fading + 0.05 * drum
