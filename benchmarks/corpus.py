"""The recordings that the benchmarks use, each with the words that are spoken in it, made from what packages carry.

Recorded speech is that of LibriVox (Debian's pocketsphinx-testdata) and of telephone exchanges; voices of flite and
espeak-ng speak the rest. All of it is the same on every run, and no recording says anything twice: who remembers what
was said before would only be tested on its memory.
"""

from __future__ import annotations

import hashlib
import subprocess
import wave
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, repeat
from pathlib import Path
from typing import TypeAlias

import numpy as np
from faster_whisper.audio import decode_audio
from numpy.typing import NDArray
from platformdirs import user_cache_path

from benchmarks.prompts import prompts
from tests.speech import ffmpeg, librivox_sentences

RATE = 16_000
CACHE = user_cache_path("panotti-benchmarks")
HERE = Path(__file__).parent

Samples = NDArray[np.float64]
Utterance: TypeAlias = tuple[Samples, str]
"""Its sound, and the words in it."""

LANGUAGES = ("de", "es", "fr", "it", "ru")
"""Beside English."""
_VOICES = ("flite slt", "flite rms", "flite awb", "flite kal16", "espeak en-us", "espeak en-gb")
_GERMAN_VOICES = ("espeak de", "espeak de+m1", "espeak de+m7", "espeak de+f5")
_LOUDNESS = 0.07
"""That of the voices, which are made as loud as each other."""


@dataclass(frozen=True)
class Clip:
    name: str
    path: Path
    words: str
    """What is spoken in it; empty where nobody speaks."""
    seconds: float
    language: str = "en"


def clean() -> Clip:
    """Several minutes of several voices, half a second between sentences."""
    return _clip("clean", *_joined(_sentences()))


def noisy() -> Clip:
    """The same in a room with a fan: pink noise, 10 dB below the speech."""
    speech, words = _joined(_sentences())
    noise = _pink(len(speech), seed=1)
    return _clip("noisy", speech + noise * _loudness(speech) / _loudness(noise) * 10 ** (-10 / 20), words)


def in_noise(noise: str, decibels: int, part: int) -> Clip:
    """A third of the clean clip, that much louder than the noise, which is another one for each part."""
    sentences = _sentences()
    speech, words = _joined(sentences[part * len(sentences) // 3 : (part + 1) * len(sentences) // 3])
    sound = NOISES[noise](len(speech), part)
    loudness = _loudness(speech) / (_loudness(sound) or 1) * 10 ** (-decibels / 20)
    mixed = speech + sound * loudness
    return _clip(f"{noise}-{decibels}-{part}", mixed * min(1, 0.95 / np.abs(mixed).max()), words)


def gappy() -> Clip:
    """Short utterances between long silences, which are those of a microphone and not of zeros."""
    silences = cycle((3.0, 8.0, 20.0, 45.0, 12.0, 5.0, 10.0))
    recorded = _recorded("en", lengths=range(3, 6), count=30)
    speech, words = _joined(_mixed(recorded, _spoken("short.txt", _VOICES)), silences)
    return _clip("gappy", speech + _pink(len(speech), seed=2) * 1e-4, words)


def foreign(language: str) -> Clip:
    """Sentences in one of `LANGUAGES`: recorded ones, but for German."""
    if language == "de":
        said = _spoken("languages/de.txt", _GERMAN_VOICES)
    else:
        said = _recorded(language, lengths=range(6, 25), count=75)
    return replace(_clip(language, *_joined(said)), language=language)


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
    clip = clean().path
    content = hashlib.blake2b(clip.read_bytes(), digest_size=4).hexdigest()
    path = CACHE / f"long-{minutes:g}-{content}.flac"
    if not path.exists():
        part = path.with_suffix(".part.flac")
        ffmpeg("-stream_loop", "-1", "-i", clip, "-t", str(60 * minutes), "-c:a", "flac", part)
        part.rename(path)
    return path


def _clip(name: str, samples: Samples, words: str) -> Clip:
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"{name}.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return Clip(name, path, words, len(samples) / RATE)


@cache
def _sentences() -> Sequence[Utterance]:
    """Recorded ones among the synthetic ones."""
    read = [(_read(path), words) for path, words in librivox_sentences().items()]
    recorded = _recorded("en", lengths=range(6, 25), count=25)
    return _mixed(_mixed(recorded, read), _spoken("sentences.txt", _VOICES))


def _recorded(language: str, lengths: range, count: int) -> list[Utterance]:
    """So many prompts of so many words, as loud as the other voices."""
    found = prompts(language, lengths)[:count]
    sounds = (decode_audio(str(prompt.path), sampling_rate=RATE) for prompt in found)
    return [(sound * _LOUDNESS / _loudness(sound), prompt.words) for sound, prompt in zip(sounds, found, strict=True)]


def _spoken(name: str, voices: Sequence[str]) -> list[Utterance]:
    """The lines of a file, by each voice in turn."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    folder = CACHE / "spoken"
    folder.mkdir(parents=True, exist_ok=True)
    spoken = []
    for line, voice in zip(lines, cycle(voices), strict=False):
        words = "".join(letter for letter in line if letter.isalnum() or letter == " ")
        path = folder / f"{voice} {words[:80]}.wav"
        if not path.exists():
            _speak(voice, line, path)
        spoken.append((_read(path), line))
    return spoken


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


def _mixed(few: Sequence[Utterance], many: Sequence[Utterance]) -> list[Utterance]:
    """Both in their order, spread evenly."""
    places = [(number / len(part), utterance) for part in (few, many) for number, utterance in enumerate(part)]
    return [utterance for _, utterance in sorted(places, key=lambda place: place[0])]


def _joined(utterances: Sequence[Utterance], silences: Iterable[float] = repeat(0.5)) -> Utterance:
    """One after the other, each with so many seconds of silence behind it."""
    parts = zip(utterances, silences, strict=False)
    sound = np.concatenate([np.pad(samples, (0, round(silence * RATE))) for (samples, _), silence in parts])
    return sound, " ".join(words for _, words in utterances)


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
    speech, _ = _joined(_sentences(), repeat(0))
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
