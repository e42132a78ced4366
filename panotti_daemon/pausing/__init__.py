"""What stops transcription just now, and until when: the user, the battery, the hours, other programs."""
