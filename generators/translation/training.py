"""From a request to a trained translator: what `train-translator` and `resume` do, readable top to bottom."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from forensics.common.errors import UsageError
from forensics.common.progress import Progress
from generators.data.request import DataRequest
from generators.parallel import Processes, asked_precision, set_threads
from generators.run_folder import claim, unchanged, versions
from generators.training import CACHE, resolved
from generators.translation.cycle_trainer import CycleTrainer
from generators.translation.features import VggFeatures
from generators.translation.game import OWN_FEATURES
from generators.translation.run_record import (
    PairRequest,
    TranslationRun,
    read_translation_run,
    write_translation_run,
)
from generators.translation.sources import load_domains, load_sources, record_of
from generators.translation.trainer import PairedTrainer
from generators.translation_config import MAY_CHANGE, TranslationConfig
from generators.translator import Translator, check_sizes, translator_named

RESUMING = "`forensics generate resume` to go on as it was begun"

Trainer = PairedTrainer | CycleTrainer


def train(
    translator: Translator, preset: str, config: TranslationConfig, request: DataRequest, pairs: PairRequest,
    folder: Path, progress: Progress, overwrite: bool = False,
) -> Trainer:  # fmt: skip
    """Begin a run, or go on with the one in the folder. Raises UsageError for one begun with other options or data."""
    request = request.model_copy(update={"data": tuple(resolved(path) for path in request.data)})
    check_pairs(translator, config, request, pairs)
    pairs = pairs.model_copy(
        update={
            name: resolved(path) for name in ("inputs", "vgg_weights") if (path := getattr(pairs, name)) is not None
        }
    )
    claim(folder, overwrite)
    stored = read_translation_run(folder)
    if stored is not None:
        if stored.system != translator.name:
            raise UsageError(f"the run is of {stored.system}, not of {translator.name}", "use another --output")
        config = unchanged(stored.config, config, MAY_CHANGE, {"precision": "auto"}, RESUMING)
    set_threads(config.threads)
    processes = Processes(config.device)
    try:
        processes.share(config.batch_size)
        check_sizes(translator, config)  # before hours of decoding
        progress = progress if processes.is_main else Progress(quiet=True)
        extractor = VggFeatures(pairs.vgg_weights).to(processes.device) if pairs.vgg_weights else None
        if not processes.is_main:
            processes.wait()  # the first process decodes; the others find its cache
        begin: Callable[..., Trainer]
        if translator.pairing == "unpaired":
            domains, domains_out = load_domains(request, pairs, config, folder / CACHE, progress)
            data, held_out = record_of(domains), len(domains_out)
            begin = partial(CycleTrainer, source=domains, held_out=domains_out)
        else:
            source, source_out = load_sources(request, pairs, config, folder / CACHE, progress)
            data, held_out = record_of(source), len(source_out)
            begin = partial(PairedTrainer, source=source, held_out=source_out, extractor=extractor)
        if processes.is_main:
            processes.wait()
        run = TranslationRun(
            system=translator.name,
            preset=stored.preset if stored else preset,
            config=config,
            precision=stored.precision if stored else asked_precision(config.precision, processes.device),
            processes=processes.count,
            device=processes.device.type,
            request=request,
            pairs=pairs,
            data=data,
            held_out=held_out,
            perceptual=(extractor.name if extractor else OWN_FEATURES) if config.perceptual_weight else "",
            versions=versions(),
        )
        if stored is not None and stored.perceptual != run.perceptual:
            raise UsageError(
                f"the run was begun with likeness in the features of '{stored.perceptual}', not of '{run.perceptual}'",
                "give --vgg-weights as they were, or use another --output",
            )
        if stored is not None and stored.data.sha256 != run.data.sha256:
            raise UsageError(
                f"option 'data': the run was begun with other pictures ({stored.data.pictures}; now {run.data.pictures})",
                "use another --output, or give the data as they were",
            )
        if run.perceptual:
            progress.say(f"likeness in the features of: {run.perceptual}")
        if not held_out:
            progress.say("no picture is held out: nothing is measured, sheets show training pictures")
        trainer = begin(translator, run, folder=folder, processes=processes, progress=progress)
        if processes.is_main:
            write_translation_run(folder, run)
        trainer.train()
        return trainer
    finally:
        processes.close()


def resume(folder: Path, steps: int | None, progress: Progress) -> Trainer:
    """Go on with a run as it was begun, to `steps` in all if given."""
    stored = read_translation_run(folder)
    if stored is None:
        raise UsageError(
            f"{folder} is not the folder of a translator", "`forensics generate train-translator` begins one"
        )
    config = stored.config.model_copy(update={"steps": steps or stored.config.steps})
    translator = translator_named(stored.system)
    return train(translator, stored.preset, config, stored.request, stored.pairs, folder, progress)


def check_pairs(translator: Translator, config: TranslationConfig, request: DataRequest, pairs: PairRequest) -> None:
    """Raises UsageError where it is not said, or said twice, what the inputs are."""
    ways = [
        name
        for name, is_given in (
            ("--inputs", pairs.inputs is not None), ("--halves", pairs.halves != "none"), ("--make", config.make != "none"),
        ) if is_given
    ]  # fmt: skip
    if pairs.vgg_weights and not config.perceptual_weight:
        raise UsageError("--vgg-weights without --perceptual-weight has no effect", "give a weight, such as 1")
    if translator.pairing == "unpaired":
        if pairs.halves != "none":
            raise UsageError(f"option --halves means nothing to {translator.name}, which has no pairs", "leave it out")
        if not config.adversarial_weight:
            raise UsageError(f"{translator.name} needs --adversarial-weight above 0", "its critics say what is wanted")
    elif request.faces and (pairs.inputs is not None or pairs.halves != "none"):
        raise UsageError("--faces cuts targets, not their inputs", "cut both beforehand")
    if translator.name == "restore" and config.task == "none":
        raise UsageError("restore needs --task", "denoise, deblock, dehaze or colourise")
    if translator.name == "srgan" and config.scale == 1:
        raise UsageError("srgan needs --scale", "2 or 4")
    if translator.pairing == "made" and ways:
        raise UsageError(f"option {ways[0]} means nothing to {translator.name}", "leave it out")
    if translator.pairing != "made" and len(ways) != 1:
        known = "--make and --inputs" if translator.pairing == "unpaired" else "--make, --inputs and --halves"
        raise UsageError(
            f"{translator.name} needs one of {known}" + (f", not {' and '.join(ways)}" if ways else ""),
            f"--make {'sketch makes drawings' if translator.pairing == 'unpaired' else 'edges makes inputs'} of the "
            "pictures themselves",
        )
