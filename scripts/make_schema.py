"""Writes docs/transcript.schema.json, the schema of json transcripts, from the model that writes and reads them."""

from __future__ import annotations

import json
from pathlib import Path

from panotti_daemon.models.transcript.formats import Document

SCHEMA_FILE = Path(__file__).parents[1] / "docs" / "transcript.schema.json"


def schema_text() -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Document.model_json_schema(
        mode="serialization"
    )
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
