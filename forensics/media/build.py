"""The FFmpeg inside PyAV."""


def ffmpeg_libraries() -> dict[str, str]:
    """Version per library, e.g. {"libavcodec": "62.11.100"}."""
    import av

    return {name: ".".join(str(part) for part in parts) for name, parts in sorted(av.library_versions.items())}


def missing_decoders(wanted: tuple[str, ...] = ("h264", "hevc", "vp9", "av1", "mpeg4")) -> list[str]:
    """Those of the named video decoders that this build lacks."""
    import av

    return [name for name in wanted if name not in av.codecs_available]
