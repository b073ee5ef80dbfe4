"""Files appear whole or not at all; names stay inside their folder."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forensics.common.files import safe_name, sha256_of_file, sha256_of_text, write_atomic


def test_write_makes_folders_replaces_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "a" / "b.txt"
    write_atomic(target, "first")
    write_atomic(target, b"second\x00")
    assert target.read_bytes() == b"second\x00"
    assert list(target.parent.iterdir()) == [target]
    assert target.stat().st_mode & 0o777 == 0o644


def test_text_is_utf_8_without_changed_line_ends(tmp_path):
    write_atomic(tmp_path / "t", "é\n漢\r\n")
    assert (tmp_path / "t").read_bytes() == "é\n漢\r\n".encode()


def test_a_failed_move_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch):
    target = tmp_path / "kept.txt"
    write_atomic(target, "old")

    def refuse(_self, _target):
        raise OSError("disk on fire")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk on fire"):
        write_atomic(target, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    assert target.read_text(encoding="utf-8") == "old"


def test_a_target_that_is_a_folder_fails_without_litter(tmp_path):
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="irectory"):
        write_atomic(tmp_path / "folder", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_long_name_can_be_written(tmp_path):
    target = tmp_path / ("n" * 250)
    write_atomic(target, "x")
    assert target.read_text(encoding="utf-8") == "x"


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_hash_of_a_file_is_that_of_its_bytes(tmp_path, size):
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "f").write_bytes(content[:size])
    assert sha256_of_file(tmp_path / "f") == hashlib.sha256(content[:size]).hexdigest()


def test_hash_of_text_is_that_of_its_utf_8():
    # The published test vector for "abc" (FIPS 180-4).
    assert sha256_of_text("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.text(max_size=200), st.integers(1, 100))
@example("../../etc/passwd", 80)
@example("..", 80)
@example("", 80)
@example("a/b\\c", 80)
@example("\x00\n", 80)
@example("....x", 80)
@example("\udcff.mp4", 80)
def test_safe_name_is_a_plain_visible_file_name(text, limit):
    name = safe_name(text, limit)
    assert name
    assert len(name) <= max(limit, len("input"))
    assert not name.startswith(".")
    assert name not in (".", "..")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert Path(name).name == name


def test_safe_name_keeps_what_is_safe():
    assert safe_name("clip-01_a.mp4") == "clip-01_a.mp4"
    assert safe_name("/home/me/my clip.mp4") == "home_me_my_clip.mp4"
