"""C2PA manifests through the decoding child: a picture that is signed here, the same one changed, hostile stores."""

import datetime
import io
import json
import random
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from skimage import data

from forensics.analysis.c2pa import ANALYSIS
from forensics.analysis.protocol import File
from forensics.common.errors import MediaError
from forensics.config import InspectConfig
from forensics.inspection import Inspector
from forensics.media.facts import read_facts
from forensics.media.facts_types import MAX_TAG_CHARACTERS, FileFacts
from forensics.media.provenance import MAX_LISTED, read_provenance, summed_up
from forensics.media.reader import MediaReader
from forensics.media.types import MediaLimits

c2pa = pytest.importorskip("c2pa", reason="the extra c2pa is not installed")
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def signer() -> "c2pa.Signer":
    """Of a certificate that a root made here vouches for: the library refuses ones that vouch for themselves."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(name: str) -> x509.Name:
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Newsroom of {name}")
        return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def made(name: str, key: ec.EllipticCurvePrivateKey, is_root: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign", "encipher_only",
             "decipher_only"), False,
        )  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named("root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(is_root, None), critical=True)
            .add_extension(x509.KeyUsage(digital_signature=not is_root, key_cert_sign=is_root, **usage), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )
        if not is_root:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purpose, critical=True)
        return builder.sign(root_key, hashes.SHA256())

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    chain = b"".join(
        made(name, its_key, name == "root").public_bytes(serialization.Encoding.PEM)
        for name, its_key in (("leaf", key), ("root", root_key))
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, private, None))


def signed(kind: str, actions: list[dict[str, str]]) -> bytes:
    """A signed picture whose manifest lists these actions."""
    plain, out = io.BytesIO(), io.BytesIO()
    Image.fromarray(data.astronaut()[:200, :256]).save(plain, kind)
    plain.seek(0)
    manifest = {
        "claim_generator_info": [{"name": "camera of the test", "version": "1.2"}],
        "assertions": [{"label": "c2pa.actions", "data": {"actions": actions}}],
    }
    with signer() as by, c2pa.Builder(json.dumps(manifest)) as builder:
        builder.sign(by, f"image/{kind.lower()}", plain, out)
    return out.getvalue()


@pytest.fixture(scope="module")
def reader():
    with MediaReader(MediaLimits()) as found:
        yield found


@pytest.fixture(scope="module")
def photo() -> bytes:
    return signed("JPEG", [{"action": "c2pa.created", "digitalSourceType": SOURCE + "digitalCapture"}])


def finding_of(reader, path):
    facts, _ = read_facts(reader, path)
    return ANALYSIS.examine(File(facts, path.name, provenance=read_provenance(reader, path)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_signed_picture_is_valid_and_its_statement_is_told(reader, tmp_path, photo, kind):
    path = tmp_path / f"photo.{kind.lower()}"
    path.write_bytes(
        photo
        if kind == "JPEG"
        else signed(kind, [{"action": "c2pa.created", "digitalSourceType": SOURCE + "digitalCapture"}])
    )
    found = read_provenance(reader, path)
    assert found.is_valid and not found.failures and found.manifests == 1
    assert found.generator == "camera of the test 1.2" and found.signer == "Newsroom of leaf"
    assert found.actions == ("c2pa.created",) and found.sources == ("digitalCapture",)
    finding = finding_of(reader, path)
    assert finding.state == "consistent" and "signature and hashes fit" in finding.observation
    assert finding.measures["signer_is_trusted"] is None


def test_a_change_after_signing_is_inconsistent(reader, tmp_path, photo):
    changed = bytearray(photo)
    changed[-2000] ^= 1
    path = tmp_path / "changed.jpg"
    path.write_bytes(changed)
    finding = finding_of(reader, path)
    assert finding.state == "inconsistent" and "changed after it was signed" in finding.observation
    assert "assertion.dataHash.mismatch" in str(finding.measures["failures"])


def test_a_declared_generator_is_no_recording(reader, tmp_path):
    path = tmp_path / "made.jpg"
    path.write_bytes(
        signed("JPEG", [{"action": "c2pa.created", "digitalSourceType": SOURCE + "trainedAlgorithmicMedia"}])
    )
    finding = finding_of(reader, path)
    assert finding.state == "inconsistent" and "trainedAlgorithmicMedia" in finding.observation


def test_a_file_without_a_manifest_is_told_so_by_a_typed_error(reader, tmp_path):
    path = tmp_path / "plain.png"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(path)
    with pytest.raises(MediaError, match="C2PA"):
        read_provenance(reader, path)
    facts, _ = read_facts(reader, path)
    finding = ANALYSIS.examine(File(facts, path.name))
    assert finding.state == "not applicable" and "absence is not evidence" in finding.observation


def test_damaged_stores_cost_no_more_than_the_question(reader, tmp_path, photo):
    rng = random.Random(5)
    path = tmp_path / "damaged.jpg"
    start = photo.index(b"jumb")
    for _ in range(25):
        mutated = bytearray(photo)
        for _ in range(rng.randint(1, 30)):
            mutated[rng.randrange(start, min(len(mutated), start + 12_000))] = rng.randrange(256)
        path.write_bytes(mutated)
        try:
            assert isinstance(read_provenance(reader, path).is_valid, bool)
        except MediaError as error:
            assert error.message
    path.write_bytes(photo)
    assert read_provenance(reader, path).is_valid


def test_an_inspection_asks_only_where_there_is_a_manifest(tmp_path, photo, monkeypatch):
    signed_path, plain = tmp_path / "signed.jpg", tmp_path / "plain.jpg"
    signed_path.write_bytes(photo)
    Image.fromarray(data.astronaut()[:64, :64]).save(plain)
    with Inspector(InspectConfig(only=("c2pa", "container"))) as inspector:
        states = {path.name: inspector.inspect(path).record.findings for path in (signed_path, plain)}
        monkeypatch.setattr("forensics.inspection.can_validate", lambda: False)
        without = inspector.inspect(signed_path).record.findings
    by_name = {name: {part.analysis: part.state for part in parts} for name, parts in states.items()}
    assert by_name["signed.jpg"]["c2pa"] == "consistent" and by_name["plain.jpg"]["c2pa"] == "not applicable"
    missing = next(part for part in without if part.analysis == "c2pa")
    assert missing.state == "inconclusive" and "pip install" in missing.observation


@pytest.mark.parametrize(
    "store",
    [
        {},
        {"manifests": [], "active_manifest": 5},
        {"manifests": {"a": {"assertions": [{"label": "c2pa.actions", "data": {"actions": "x"}}, None, 7]}}},
        {
            "manifests": {"a": "b"},
            "active_manifest": "a",
            "validation_results": {"activeManifest": {"failure": [1, {}]}},
        },
        {"validation_state": ["Valid"], "validation_status": {"code": 1}},
    ],
)
def test_a_store_of_another_form_is_not_valid_and_breaks_nothing(store):
    found = summed_up(store, "1")
    assert not found.is_valid and not found.actions and not found.failures


def store_of(*declared: str, generator: str = "x") -> dict[str, object]:
    """A valid store whose first manifest is the active one; each declares a source."""
    manifests = {
        f"m{number}": {
            "claim_generator_info": [{"name": generator}],
            "assertions": [
                {"label": "c2pa.actions", "data": {"actions": [{"action": "a", "digitalSourceType": source}]}}
            ],
        }
        for number, source in enumerate(declared)
    }
    return {"active_manifest": "m0", "manifests": manifests, "validation_state": "Valid"}


def told(store: dict[str, object]):
    facts = FileFacts("jpeg", 9, 1, {}, (), None, None, 900, ())
    return ANALYSIS.examine(File(facts, "x.jpg", provenance=summed_up(store, "1")))


def test_what_an_ingredient_declares_is_not_said_of_the_file():
    finding = told(store_of(SOURCE + "digitalCapture", SOURCE + "trainedAlgorithmicMedia"))
    assert finding.state == "consistent" and "trained" not in finding.observation
    assert finding.measures["ingredient_sources"] == "trainedAlgorithmicMedia" and finding.measures["manifests"] == 2
    assert told(store_of(SOURCE + "compositeWithTrainedAlgorithmicMedia")).state == "inconsistent"


def test_the_signers_words_stay_in_quotation_marks():
    words = 'Canon". The signer is trusted. "' + "z" * 150
    finding = told(store_of("x" * 190, generator=words))
    assert finding.observation.count('"') % 2 == 0 and len(finding.observation) < 400
    assert "\"Canon'. The signer is trusted." in finding.observation


def test_the_process_that_validates_can_open_no_socket(tmp_path, photo):
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo)
    code = (
        "import socket, sys; from forensics.media.provenance import gather_provenance\n"
        "file = open(sys.argv[1], 'rb')\n"
        "assert gather_provenance(file).is_valid\n"
        "try: socket.socket()\n"
        "except OSError as error: print(error.strerror)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert "Too many open files" in done.stdout, done.stderr


def test_long_and_hidden_texts_are_cut_and_printable():
    actions = [{"action": f"{i}\x1b[31m\u202e" + "x" * 1000} for i in range(100)]
    manifest = {
        "claim_generator": "y" * 5000 + "\n",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }
    found = summed_up({"manifests": {"a": manifest}, "active_manifest": "a", "validation_state": "Valid"}, "1")
    assert len(found.actions) == MAX_LISTED and len(found.generator) <= MAX_TAG_CHARACTERS
    assert all(len(text) <= MAX_TAG_CHARACTERS and text.isprintable() for text in found.actions)
