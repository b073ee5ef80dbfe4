"""C2PA manifests: what a signed statement inside a file says of its origin, and whether it still fits the file.

The child checks signature and hashes with the library of the extra `c2pa`, in a job of its own: the library is native code
that reads a stranger's bytes, so a crash of it costs this question alone. Nothing is fetched, neither a manifest that lies
elsewhere nor a certificate's or an identity's status: the settings say so, and the process may open no further descriptor,
so no socket either. No list of trusted signers is used: a valid signature says that the statement is its signer's and
unchanged since, not who that is. Only the active manifest speaks of the file; those of its ingredients are told apart,
since anybody can add one.

C2PA Technical Specification 2.1: 14 (trust model), 15 (validation), 18.15 (actions).
"""

import contextlib
import json
import os
import resource
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from forensics.common.errors import MediaError
from forensics.media.facts_types import Provenance, tag_text
from forensics.media.sniff import HEAD_BYTES, sniff

if TYPE_CHECKING:
    from forensics.media.reader import MediaReader

PACKAGE = "c2pa-python"
# Formats in which our own parsers see that there is one: nothing else is given to the library.
TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "AVIF": "image/avif", "mov": "video/mp4"}
# Of what a manifest lists; one with more is still summed up.
MAX_LISTED = 20
# A manifest store that is larger as text is none that a camera or an editor wrote.
MAX_JSON = 8 << 20
UNTRUSTED = "signingCredential.untrusted"
SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"decode_identity_assertions": False, "allowed_network_hosts": []},
}


def can_validate() -> bool:
    """Whether the library is installed."""
    return library_version() is not None


def library_version() -> str | None:
    """The library's version; None where it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def read_provenance(reader: "MediaReader", path: Path) -> Provenance:
    """What a file's manifest store says and whether it fits. Raises MediaError where the library cannot read it."""
    return reader.ask(path, {"provenance": True}, Provenance, "provenance")


def gather_provenance(file: BinaryIO) -> Provenance:
    """The child's half, of an open file. Raises MediaError."""
    from c2pa import C2paError, Context, Reader, sdk_version

    file.seek(0)
    kind = TYPES.get(sniff(file.read(HEAD_BYTES)).name)
    if kind is None:
        raise MediaError("C2PA manifests in this format are not read", "")
    file.seek(0)
    _open_no_more(file)
    try:
        with Context.from_dict(SETTINGS) as context, Reader(kind, file, context=context) as found:
            text = found.json()
    except C2paError as error:
        raise MediaError(f"its C2PA manifest cannot be read: {tag_text(str(error))}", "") from error
    if len(text) > MAX_JSON:
        raise MediaError("its C2PA manifest is larger than any that a camera or an editor writes", "")
    return summed_up(json.loads(text), sdk_version())


def _open_no_more(file: BinaryIO) -> None:
    """From now on this process opens nothing, no socket either: the limit is what is open, and gaps below are filled."""
    least = file.fileno() + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (least, least))
    with contextlib.suppress(OSError):
        while True:
            os.dup(file.fileno())


def summed_up(store: Mapping[str, Any], library: str) -> Provenance:
    """What matters of a manifest store in the library's words (JSON). What does not have the form it should is left out."""
    manifests = _mapping(store.get("manifests"))
    active = _mapping(manifests.get(str(store.get("active_manifest"))))
    signature = _mapping(active.get("signature_info"))
    results = _mapping(_mapping(store.get("validation_results")).get("activeManifest"))
    codes = [str(_mapping(one).get("code") or "") for one in _listed(results.get("failure"))]
    others = [manifest for label, manifest in manifests.items() if label != store.get("active_manifest")]
    own = list(_actions(active))
    return Provenance(
        is_valid=str(store.get("validation_state")) in ("Valid", "Trusted"),
        failures=_distinct(tag_text(code) for code in codes if code != UNTRUSTED),
        generator=tag_text(_generator(active)),
        signer=tag_text(str(signature.get("issuer") or signature.get("common_name") or "")),
        signed_at=tag_text(str(signature.get("time") or "")),
        actions=_distinct(tag_text(str(action.get("action") or "")) for action in own),
        sources=_distinct(map(_source, own)),
        ingredient_sources=_distinct(_source(action) for other in others for action in _actions(_mapping(other))),
        manifests=len(manifests),
        library=tag_text(library),
    )


def _source(action: Mapping[str, Any]) -> str:
    """The last part of IPTC's address of a digital source type."""
    return tag_text(str(action.get("digitalSourceType") or "")).rpartition("/")[2]


def _actions(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for assertion in _listed(manifest.get("assertions")):
        found = _mapping(assertion)
        if str(found.get("label", "")).startswith("c2pa.actions"):
            yield from (_mapping(action) for action in _listed(_mapping(found.get("data")).get("actions")))


def _generator(manifest: Mapping[str, Any]) -> str:
    """The software that made the claim: claim_generator_info of version 2, or the text of version 1."""
    for info in _listed(manifest.get("claim_generator_info")):
        found = _mapping(info)
        if found.get("name"):
            return f"{found['name']} {found.get('version') or ''}".strip()
    return str(manifest.get("claim_generator") or "")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    """In their order, each once, at most MAX_LISTED of them."""
    return tuple(list(dict.fromkeys(text for text in texts if text))[:MAX_LISTED])
