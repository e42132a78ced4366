"""Forgetting a recording, by its id or by one of its files."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter

from panotti_daemon.api.routes.recordings import RecordingId
from panotti_daemon.api.schemas import ForgetFileRequest, ForgetRequest, ForgottenRecording, ForgottenReport, KeptOutput
from panotti_daemon.api.services import Injected
from panotti_daemon.intake.forget import Forgotten, Wish
from panotti_daemon.models.recording.models import Recording

router = APIRouter(tags=["recordings"])


@router.post("/recordings/{recording_id}/forget", summary="Forget all that Panotti itself knows and wrote of it")
async def recording(services: Injected, recording_id: RecordingId, body: ForgetRequest) -> ForgottenReport:
    return _report(await services.forget.recording(recording_id, _wish(body)))


@router.post("/ledger/forget", summary="The same, by one of its files or transcripts")
async def file(services: Injected, body: ForgetFileRequest) -> ForgottenReport:
    return _report(await services.forget.file(Path(body.path), _wish(body)))


def _wish(body: ForgetRequest) -> Wish:
    return Wish(outputs=body.outputs, revisions=body.revisions, dry_run=body.dry_run)


def _report(found: Forgotten) -> ForgottenReport:
    return ForgottenReport(
        recordings=[_named(recording) for recording in found.recordings],
        transcripts=found.transcripts,
        segments=found.segments,
        events=found.events,
        deleted_outputs=[str(path) for path in found.deleted_outputs],
        kept_outputs=[KeptOutput(path=str(o.path), condition=o.condition.value) for o in found.kept_outputs],
        files=[str(path) for path in found.files],
        other_revisions=[_named(recording) for recording in found.other_revisions],
        remains=list(found.remains),
    )


def _named(recording: Recording) -> ForgottenRecording:
    return ForgottenRecording(id=recording.id, title=recording.title, revision=recording.revision)
