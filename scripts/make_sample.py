"""Makes `resources/samples/two-voices.wav`, a short dialogue, and the text of it.

Needs flite with its voices slt and rms (Debian: `apt-get install flite`). The same flite makes the same bytes.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from pathlib import Path

SAMPLES = Path(__file__).parent.parent / "resources" / "samples"
RATE = 16_000
PAUSE_SECONDS = 0.6

DIALOGUE = (
    ("slt", "Good morning. Did you read the report that I sent you yesterday?"),
    ("rms", "Yes, I read it on the train. The numbers look much better this year."),
    ("slt", "Shall we meet on Thursday and talk about the next steps?"),
    ("rms", "Thursday is fine. I will bring the list of open questions."),
)


def speak(voice: str, words: str) -> bytes:
    """16-bit mono samples."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as spoken:
        subprocess.run(["flite", "-voice", voice, "-t", words, "-o", spoken.name], check=True)
        with wave.open(spoken.name, "rb") as turn:
            if (turn.getframerate(), turn.getnchannels(), turn.getsampwidth()) != (RATE, 1, 2):
                raise SystemExit(f"The voice {voice} does not speak 16 kHz mono")
            return turn.readframes(turn.getnframes())


def main() -> None:
    pause = bytes(2 * int(RATE * PAUSE_SECONDS))
    with wave.open(str(SAMPLES / "two-voices.wav"), "wb") as dialogue:
        dialogue.setnchannels(1)
        dialogue.setsampwidth(2)
        dialogue.setframerate(RATE)
        dialogue.writeframes(pause + pause.join(speak(*turn) for turn in DIALOGUE) + pause)
    text = "\n".join(words for _, words in DIALOGUE) + "\n"
    (SAMPLES / "two-voices.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
