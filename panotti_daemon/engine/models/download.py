"""Fetches a model from the Hugging Face hub: what is there when it is broken off is not fetched again, and nothing
counts as a model before every checksum is right.

huggingface_hub is asked what there is, and how to get it. It does not fetch: since its version 2 it throws away what it
has of a file when it is interrupted.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from http import HTTPStatus
from json import JSONDecodeError
from pathlib import Path

from filelock import FileLock, Timeout

from panotti_daemon.engine.models.checksums import RECORD, digest_of, write_record
from panotti_daemon.errors import ModelUnavailable
from panotti_daemon.sizes import shown_size

OnDownload = Callable[[str, float | None], None]
"""Called with the model's name and the fraction that has arrived."""

PARTIAL_DOWNLOAD = re.compile(r"\.[A-Za-z0-9][\w.-]*\.download")
"""What a download's folder is called until it is complete."""

_WANTED = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")
_ASK_SECONDS = 10.0
_SILENCE_SECONDS = 30.0
_STEP = 0.002
"""Of the whole: what is told of."""
_ROOM_LEFT = 200_000_000
"""Bytes that a download leaves free."""


def fetch(name: str, repository: str, target: Path, on_progress: OnDownload = lambda _name, _fraction: None) -> None:
    """Puts a model into the folder `target`, in place of what is there.

    Raises:
        ModelUnavailable: there is no network, no such model or no room for it, or another process is at it.
    """
    partial = target.with_name(f".{target.name}.download")
    lock = partial / ".lock"
    try:
        partial.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            files = _Download(name, repository, partial, on_progress).run()
            write_record(partial, {file.name: file.digest for file in files})
        for leftover in set(partial.iterdir()) - {partial / file.name for file in files} - {partial / RECORD}:
            leftover.unlink()
        _make_way(target)
        partial.rename(target)
    except Timeout:
        raise ModelUnavailable(f"The model {name!r} is being downloaded by another process") from None
    except OSError as error:
        raise ModelUnavailable(f"The model {name!r} cannot be kept in {target.parent}: {error.strerror}") from error


@dataclass(frozen=True)
class _File:
    name: str
    size: int
    digest: str


class _Download:
    def __init__(self, name: str, repository: str, folder: Path, on_progress: OnDownload) -> None:
        self._name = name
        self._repository = repository
        self._folder = folder
        self._on_progress = on_progress
        self._revision = ""
        self._total = self._done = 0
        self._told = 0.0

    def run(self) -> list[_File]:
        with self._network():
            files = self._published()
        parts = {file: self._folder / f"{file.name}.{file.digest[:12]}.part" for file in files}
        self._total = sum(file.size for file in files)
        self._done = sum(map(_size, parts.values()))
        self._refuse_full_disk(sum(file.size - self._arrived(file, part) for file, part in parts.items()))
        for file, part in parts.items():
            if not self._is_there(file):
                self._complete(file, part)
        return files

    def _published(self) -> list[_File]:
        import huggingface_hub

        try:
            about = huggingface_hub.model_info(self._repository, files_metadata=True, timeout=_ASK_SECONDS)
        except (JSONDecodeError, UnicodeDecodeError, TypeError, KeyError) as error:
            raise self._not_downloaded("what answers is not the Hugging Face hub") from error
        self._revision = about.sha or "main"
        files = [
            _File(found.rfilename, found.size or 0, found.lfs.sha256 if found.lfs else found.blob_id or "")
            for found in about.siblings or []
            if any(fnmatch(found.rfilename, wanted) for wanted in _WANTED)
        ]
        if not any(file.name == "model.bin" for file in files):
            raise ModelUnavailable(f"The repository {self._repository!r} holds no Whisper model for CTranslate2")
        return files

    def _arrived(self, file: _File, part: Path) -> int:
        return _size(part) or _size(self._folder / file.name)

    def _refuse_full_disk(self, needed: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if needed + _ROOM_LEFT > free:
            raise ModelUnavailable(
                f"There is no room for the model {self._name!r} in {self._folder.parent}: it takes another "
                f"{shown_size(needed)}, and {shown_size(free)} are free"
            )

    def _is_there(self, file: _File) -> bool:
        """Of an earlier try."""
        kept = self._folder / file.name
        if _size(kept) != file.size or digest_of(kept, file.digest) != file.digest:
            return False
        self._tell(file.size)
        return True

    def _complete(self, file: _File, part: Path) -> None:
        part.touch()
        with self._network():
            while (there := _size(part)) < file.size:
                self._receive_rest(file, part, there)
                if _size(part) <= there:
                    break
        if digest_of(part, file.digest) != file.digest:
            part.unlink()
            raise ModelUnavailable(f"{file.name} of the model {self._name!r} was damaged on its way: try again")
        part.replace(self._folder / file.name)

    def _receive_rest(self, file: _File, part: Path, there: int) -> None:
        """A connection that breaks after it has brought something is made anew."""
        import httpx2
        import huggingface_hub

        url = huggingface_hub.hf_hub_url(self._repository, file.name, revision=self._revision)
        headers = {"Accept-Encoding": "identity"}
        if there:
            headers["Range"] = f"bytes={there}-"
        if token := huggingface_hub.get_token():
            headers["Authorization"] = f"Bearer {token}"
        timeout = httpx2.Timeout(_SILENCE_SECONDS, connect=_ASK_SECONDS)
        try:
            with huggingface_hub.get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
                response.raise_for_status()
                is_rest = response.status_code == HTTPStatus.PARTIAL_CONTENT
                self._tell(0 if is_rest else -there)
                with part.open("ab" if is_rest else "wb") as written:
                    for chunk in response.iter_bytes():
                        written.write(chunk)
                        self._tell(len(chunk))
                    written.flush()
                    os.fsync(written.fileno())
        except httpx2.TransportError:
            if _size(part) <= there:
                raise

    def _tell(self, received: int) -> None:
        self._done += received
        fraction = self._done / self._total if self._total else 1.0
        if abs(fraction - self._told) >= _STEP or fraction == 1.0:
            self._told = fraction
            self._on_progress(self._name, fraction)

    @contextmanager
    def _network(self) -> Iterator[None]:
        """Its errors end here; those of the disk are not among them."""
        from httpx2 import HTTPError, HTTPStatusError
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
        )

        try:
            yield
        except (RepositoryNotFoundError, HFValidationError) as error:
            raise ModelUnavailable(f"The Hugging Face hub has no model {self._repository!r} to give") from error
        except (HTTPStatusError, HfHubHTTPError) as error:
            said = f"{error.response.status_code} {error.response.reason_phrase}".rstrip()
            raise self._not_downloaded(f"the hub answers {said}") from error
        except (HTTPError, OfflineModeIsEnabled) as error:
            raise self._not_downloaded(f"is there a network? ({type(error).__name__})") from error

    def _not_downloaded(self, why: str) -> ModelUnavailable:
        return ModelUnavailable(f"The model {self._name!r} could not be downloaded: {why}")


def _make_way(target: Path) -> None:
    """What a link leads to is not ours."""
    if target.is_symlink():
        target.unlink()
    else:
        shutil.rmtree(target, ignore_errors=True)


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
