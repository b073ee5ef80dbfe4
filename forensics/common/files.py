"""Files that appear whole or not at all, and names that stay inside their folder."""

import hashlib
import os
import re
import tempfile
from pathlib import Path

HASH_CHUNK_BYTES = 1 << 20


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write to a temporary name beside the target, then move it with os.replace."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_text(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def safe_name(name: str, limit: int = 80) -> str:
    """A file name made of letters, digits, dot, dash and underscore; never empty, hidden, or a path."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:limit]
    return cleaned or "input"
