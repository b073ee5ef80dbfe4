"""From a request to a trained generator and its samples: what `train` and `resume` do, readable top to bottom."""

from pathlib import Path

from forensics.common.errors import UsageError
from forensics.common.progress import Progress
from forensics.common.text import printable
from generators.config import GanConfig
from generators.data.pictures import Pictures, load_pictures
from generators.data.request import DataRequest
from generators.parallel import Processes, asked_precision, set_threads
from generators.quality.extractors import extractor_named
from generators.quality.probe import KidProbe
from generators.run_folder import DataRecord, RunRecord, agreed, claim, read_run, versions, write_run
from generators.system import System, check_sizes, system_named
from generators.trainer import Outcome, Trainer

CACHE = "cache"
# Subsets of fewer have no spread worth the name.
MIN_PICTURES_FOR_KID = 50


def train(
    system: System, preset: str, config: GanConfig, request: DataRequest, folder: Path, progress: Progress,
    overwrite: bool = False,
) -> Outcome:  # fmt: skip
    """Begin a run, or go on with the one in the folder. Raises UsageError for one begun with other options or data."""
    request = request.model_copy(update={"data": tuple(resolved(path) for path in request.data)})
    claim(folder, overwrite)
    stored = read_run(folder)
    if stored is not None:
        config = agreed(stored, system.name, config)
    set_threads(config.threads)
    processes = Processes(config.device)
    try:
        processes.share(config.batch_size)
        check_sizes(system, config)  # before hours of decoding
        progress = progress if processes.is_main else Progress(quiet=True)
        if not processes.is_main:
            processes.wait()  # the first process decodes; the others find its cache
        pictures = load_pictures(request, config.image_px, folder / CACHE, progress, config.workers)
        if processes.is_main:
            processes.wait()
        config = _fitted(system, config, pictures)
        run = RunRecord(
            system=system.name,
            preset=stored.preset if stored else preset,
            config=config,
            precision=stored.precision if stored else asked_precision(config.precision, processes.device),
            processes=processes.count,
            device=processes.device.type,
            request=request,
            data=data_record(pictures),
            versions=versions(),
        )
        _check_data(stored, run)
        trainer = Trainer(
            system, run, pictures, folder, processes, _probe(run, pictures, folder, processes, progress), progress
        )
        if processes.is_main:
            write_run(folder, run)
        return trainer.run()
    finally:
        processes.close()


def resume(folder: Path, steps: int | None, progress: Progress) -> Outcome:
    """Go on with a run as it was begun, to `steps` in all if given."""
    stored = read_run(folder)
    if stored is None:
        raise UsageError(f"{folder} is not the folder of a training run", "`forensics generate train` begins one")
    config = stored.config.model_copy(update={"steps": steps or stored.config.steps})
    return train(system_named(stored.system), stored.preset, config, stored.request, folder, progress)


def resolved(path: Path) -> Path:
    """Absolute, links followed. Raises UsageError for a name that run.json cannot hold, before hours of decoding."""
    real = path.resolve()
    try:
        str(real).encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the path of the data is not UTF-8: {printable(str(real))}",
            "rename its folder or file: the record of a run could not be read again",
        ) from error
    return real


def _fitted(system: System, config: GanConfig, pictures: Pictures) -> GanConfig:
    """The configuration with the number of classes that the data have."""
    if system.condition != "class":
        return config
    found = len(pictures.class_names)
    if config.classes not in (0, found):
        raise UsageError(
            f"option 'classes': {config.classes}, but the data have {found}", "leave it out to take theirs"
        )
    return config.model_copy(update={"classes": found})


def data_record(pictures: Pictures) -> DataRecord:
    """What a run says of its pictures."""
    return DataRecord(
        name=", ".join(sorted({item.dataset or printable(item.path.parent.name) for item in pictures.items})),
        pictures=len(pictures),
        sha256=pictures.sha256,
        class_names=pictures.class_names,
        view=pictures.view,
        missed=pictures.missed,
    )


def _check_data(stored: RunRecord | None, run: RunRecord) -> None:
    if stored is not None and stored.data.sha256 != run.data.sha256:
        raise UsageError(
            f"option 'data': the run was begun with other pictures ({stored.data.pictures}; now {run.data.pictures})",
            "use another --output, or give the data as they were",
        )


def _probe(
    run: RunRecord, pictures: Pictures, folder: Path, processes: Processes, progress: Progress
) -> KidProbe | None:
    """KID against the training pictures, on the first process."""
    if not run.config.quality_every or not processes.is_main:
        return None
    if len(pictures) < MIN_PICTURES_FOR_KID:
        progress.say(
            f"no KID with fewer than {MIN_PICTURES_FOR_KID} pictures: the newest checkpoint counts as the best"
        )
        return None
    extractor = extractor_named("auto", None, processes.device)
    return KidProbe(pictures, extractor, run.config.quality_samples, run.config.seed, folder / CACHE, progress)
