"""Real and made-up speech with the words that are spoken in it, and how to compare words."""

from __future__ import annotations

import re
import subprocess
import unicodedata
import wave
from collections.abc import Iterable
from pathlib import Path

import jiwer

SAMPLES = Path(__file__).parent.parent / "resources" / "samples"
SAMPLE = SAMPLES / "two-voices.wav"
SAMPLE_TEXT = (SAMPLES / "two-voices.txt").read_text(encoding="utf-8")
SAMPLE_SECONDS = 18.685

LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")
"""Of Debian's pocketsphinx-testdata."""


def librivox_sentences() -> dict[Path, str]:
    """Five recorded sentences of *Sense and Sensibility*, each with its words."""
    lines = (LIBRIVOX / "transcription").read_text(encoding="utf-8").splitlines()
    matches = [re.fullmatch(r"<s> (?P<words>.*) </s> \((?P<name>.*)\)", line) for line in lines if line]
    return {LIBRIVOX / f"{match['name']}.wav": match["words"] for match in matches if match}


def librivox_clip(target: Path, times: int = 1) -> str:
    """Writes the five sentences, half a second apart, `times` over; returns the words."""
    sentences = librivox_sentences()
    with wave.open(str(target), "wb") as clip:
        clip.setparams((1, 2, 16_000, 0, "NONE", ""))
        for path in list(sentences) * times:
            with wave.open(str(path), "rb") as sentence:
                clip.writeframes(sentence.readframes(sentence.getnframes()) + bytes(16_000))
    return " ".join(list(sentences.values()) * times)


def speak(
    target: Path, lines: Iterable[str], *, voice: str = "slt", seconds_between: float = 0.5
) -> list[tuple[float, float]]:
    """Has a voice of flite speak the lines; returns the second at which each begins and ends, as the file has it."""
    places = []
    with wave.open(str(target), "wb") as clip:
        clip.setparams((1, 2, 16_000, 0, "NONE", ""))
        for line in lines:
            spoken = target.with_suffix(".line.wav")
            subprocess.run(["flite", "-voice", voice, "-t", line, "-o", str(spoken)], check=True)
            with wave.open(str(spoken), "rb") as sentence:
                assert sentence.getframerate() == clip.getframerate()
                start = clip.getnframes() / 16_000
                clip.writeframes(sentence.readframes(sentence.getnframes()))
                places.append((start, clip.getnframes() / 16_000))
            clip.writeframes(bytes(2 * round(seconds_between * 16_000)))
            spoken.unlink()
    return places


def word_error_rate(spoken: str, heard: str) -> float:
    """Case, accents, punctuation and the spelling of a title do not count."""
    return float(jiwer.wer(plain(spoken), plain(heard)))


def plain(text: str) -> str:
    """Its words, without case, accents or marks: people and models leave out some of them, and mean the same."""
    letters = unicodedata.normalize("NFKD", text.casefold().replace("’", "'"))
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    words = re.findall(r"\w+(?:'\w+)*", bare)
    return " ".join("mister" if word == "mr" else word for word in words)


def ffmpeg(*arguments: str | Path) -> None:
    command: Iterable[str] = map(str, ("ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *arguments))
    subprocess.run(list(command), check=True)
