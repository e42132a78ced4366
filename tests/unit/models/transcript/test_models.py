from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from panotti_daemon.engine.messages import parse_message
from panotti_daemon.models.transcript.models import Segment, Transcription

WRONG = b'{"segments": [{"text": "what was said", "start": "what was said"}]}'


@pytest.mark.parametrize(
    "read",
    [
        lambda: Transcription.model_validate_json(WRONG),
        lambda: Segment.model_validate({"text": "what was said", "start": "what was said"}),
        lambda: parse_message(b'{"id": 1, "kind": "done", "transcription": %s}' % WRONG),
    ],
)
def test_an_error_never_carries_what_was_said(read: Callable[[], object]) -> None:
    with pytest.raises(ValidationError) as caught:
        read()
    assert "what was said" not in str(caught.value)
