"""How fast a translator learns, by step."""

from generators.translation_config import TranslationConfig


def rate_share(config: TranslationConfig, step: int) -> float:
    """Share of the rates at `step`: all of them, then linear to 0 over the second half (Zhu et al. 2017, arXiv 1703.10593,
    section 4)."""
    if config.decay == "none":
        return 1.0
    return max(0.0, min(1.0, (config.steps - step) / (config.steps / 2)))
