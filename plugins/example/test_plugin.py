from pathlib import Path

from panotti_daemon.testing import Hosting, event_for

pytest_plugins = ["panotti_daemon.testing.fixtures"]


async def test_a_transcript_gets_a_line_in_the_diary_beside_it(hosted: Hosting, tmp_path: Path) -> None:
    written = {"transcription": {"output_file": str(tmp_path / "call.txt")}}
    async with hosted() as plugin:
        [noted] = await plugin.deliver(event_for("transcription_local.completed", written))
    [diary] = tmp_path.iterdir()
    assert diary.read_text(encoding="utf-8") == noted.data["line"]
    assert f"[Call with Ann](<{tmp_path / 'call.txt'}>): 1:02" in noted.data["line"]


async def test_an_event_that_comes_twice_is_noted_once(hosted: Hosting, tmp_path: Path) -> None:
    async with hosted(config={"diary": str(tmp_path / "diary.md")}) as plugin:
        for _ in range(2):
            await plugin.deliver(event_for("transcription_local.completed"))
    assert len((tmp_path / "diary.md").read_text(encoding="utf-8").splitlines()) == 1


async def test_a_recording_without_speech_is_not_noted(hosted: Hosting, tmp_path: Path) -> None:
    async with hosted(config={"diary": str(tmp_path / "diary.md")}) as plugin:
        silent = event_for("transcription_local.completed", {"transcription": {"status": "no_speech"}})
        assert await plugin.deliver(silent) == []
    assert not (tmp_path / "diary.md").exists()
