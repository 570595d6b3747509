"""The kit for a machine with a GPU: what it trims, and that parts unpack to what was packed."""

import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from gpu_kit import contents, elf, fat_binaries, parts, unpack
from places import ROOT

from tf_mavg._ops.library import OPS_PATH, PACKAGE

PTX, CODE = fat_binaries.PTX, fat_binaries.MACHINE_CODE


def fat_binary(*images: tuple[int, int, bytes]) -> bytes:
    """A fat binary by hand: an image has a kind, an architecture and bytes."""
    entries = b"".join(
        struct.pack("<HHIQIIHHIQQQQ", kind, 257, 64, len(image), 0, 0, 0, 8, arch, 0, 0, 0, 0)
        + image
        for kind, arch, image in images
    )
    return struct.pack("<4sHHQ", fat_binaries.MAGIC, 1, 16, len(entries)) + entries


def left_after_trim(*images: tuple[int, int], ptx: bool = False) -> list[tuple[int, int]]:
    """Which images of a library with one fat binary a GPU of 9.0 keeps."""
    whole = [(*image, bytes([i + 1]) * 24) for i, image in enumerate(images)]
    data = bytearray(b"before" + fat_binary(*whole) + b"after")
    length = len(data)
    fat_binaries.trim(data, 90, ptx=ptx)
    (binary,) = fat_binaries.find(data)
    left = [(entry.kind, entry.architecture) for entry in binary.entries]
    # What stays is a fat binary of its own, at the same place, and the rest is zero.
    small = fat_binary(*(image for image in whole if image[:2] in left))
    assert data == (b"before" + small).ljust(length - 5, b"\0") + b"after"
    return left


@pytest.mark.parametrize(
    ("images", "left"),
    [
        ([(CODE, 60), (CODE, 80), (CODE, 90), (PTX, 90)], [(CODE, 90)]),
        ([(CODE, 60), (CODE, 89), (PTX, 90)], [(PTX, 90)]),
        ([(CODE, 80), (PTX, 70), (PTX, 80), (PTX, 100)], [(PTX, 80)]),
        ([(CODE, 60), (CODE, 100)], [(CODE, 60), (CODE, 100)]),
    ],
    ids=["machine code", "PTX", "older PTX", "nothing that runs"],
)
def test_what_the_gpu_uses_stays(images, left):
    assert left_after_trim(*images) == left


def test_ptx_stays_beside_machine_code_on_demand():
    images = [(PTX, 90), (CODE, 60), (CODE, 90)]
    assert left_after_trim(*images, ptx=True) == [(PTX, 90), (CODE, 90)]


def test_a_magic_number_in_code_is_no_fat_binary():
    data = bytearray(b"\x81\x38" + fat_binaries.MAGIC + b"\x0f\x85" + b"\2" * 64)
    before = bytes(data)
    fat_binaries.trim(data, 90, ptx=False)
    assert data == before


def test_a_fat_binary_of_another_form_is_refused():
    data = bytearray(fat_binary((CODE, 60, b"\1" * 8)))
    struct.pack_into("<Q", data, 16 + 8, 9)
    with pytest.raises(
        ValueError, match=r"must fill it. Received: header_size=64, size=9, left=72"
    ):
        fat_binaries.trim(data, 90, ptx=False)


def test_a_library_without_its_symbols_still_loads(native_alone, tmp_path):
    (library,) = (native_alone / "tf_mavg").glob("_native*.so")
    content = bytearray(library.read_bytes())
    content += b"a table of symbols"
    elf.cut(content)
    assert len(content) < library.stat().st_size
    package = tmp_path / "tf_mavg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / library.name).write_bytes(content)
    images = "libtf_mavg_gpu_images.so"
    (package / images).symlink_to(native_alone / "tf_mavg" / images)
    program = "from tf_mavg import _native; print(_native.__file__)"
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert Path(found.strip()) == package / library.name


def test_a_program_without_a_search_path_gets_none():
    content = bytearray(Path("/bin/true").read_bytes())
    with pytest.raises(ValueError, match=r"Received: '\$ORIGIN/../lib'"):
        elf.set_search_path(content, "$ORIGIN/../lib")


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes files of a few blocks large ones."""
    monkeypatch.setattr(parts, "BLOCK", 1 << 10)
    monkeypatch.setattr(parts, "PIECE_SIZE", 4 << 10)


@pytest.fixture
def files(rng) -> list[parts.File]:
    """Files that fit a piece and that do not, with zeros at each place, and a link."""
    noise = rng.bytes(20 << 10)
    return [
        parts.File("bin/program", bytearray(b"#!/bin/sh\n"), 0o755, 10**18),
        parts.File("bin/link", link="program"),
        parts.File("empty", time=10**18 + 7),
        parts.File("zeros", bytearray(9000)),
        parts.File("large", bytearray(noise + bytes(5000) + noise)),
        parts.File("sparse", bytearray(bytes(3000) + b"x" + bytes(100_000))),
        *(parts.File(f"many/{i}", bytearray(noise[i : 3000 + 2 * i])) for i in range(9)),
    ]


def check(prefix: Path, files: list[parts.File]) -> None:
    """Asserts that all files are as they were packed."""
    for file in files:
        path = prefix / file.path
        if file.link is not None:
            assert str(path.readlink()) == file.link
            continue
        assert path.read_bytes() == file.content, file.path
        assert path.stat().st_mode & 0o777 == file.mode
        assert path.stat().st_mtime_ns == file.time


@pytest.mark.usefixtures("small_pieces")
def test_parts_unpack_apart_to_what_was_packed(files, tmp_path):
    paths = parts.write("kit", files, tmp_path / "out", limit=15_000)
    assert [path.name for path in paths] == [f"kit_{i + 1}" for i in range(len(paths))]
    assert len(paths) > 3
    assert all(path.stat().st_size <= 15_000 for path in paths)
    prefix = tmp_path / "prefix"
    unpack.unpack(paths[1:2], prefix, jobs=2)
    assert len(unpack.missing(prefix)) == len(paths) - 1
    for _ in range(2):  # Once more changes nothing.
        unpack.unpack(reversed(paths), prefix, jobs=2)
        assert unpack.missing(prefix) == []
        check(prefix, files)


@pytest.mark.usefixtures("small_pieces")
def test_a_later_packing_replaces_whole_files(files, tmp_path):
    small = [file for file in files if len(file.content) < 4000]
    later = [parts.File(file.path, bytearray(file.content[:-1]), link=file.link) for file in small]
    for packing in (small, later):
        paths = parts.write("kit", packing, tmp_path / "out", limit=50_000)
        unpack.unpack(paths, tmp_path / "prefix", jobs=1)
        check(tmp_path / "prefix", packing)


@pytest.mark.usefixtures("small_pieces")
def test_a_second_packing_of_large_files_is_refused(files, tmp_path):
    paths = parts.write("kit", files, tmp_path / "out", limit=10**6)
    unpack.unpack(paths, tmp_path / "prefix", jobs=1)
    paths = parts.write("kit", files[4:], tmp_path / "out", limit=10**6)
    with pytest.raises(unpack.DamagedError, match="A folder holds one packing of kit: remove it"):
        unpack.unpack(paths, tmp_path / "prefix", jobs=1)
    check(tmp_path / "prefix", files)


@pytest.mark.parametrize("place", [0, 20, -40, -1], ids=["magic", "list", "stream", "digest"])
def test_a_damaged_part_writes_nothing(place, files, tmp_path):
    (path,) = parts.write("kit", files[:1], tmp_path / "out", limit=10**6)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    script = ROOT / "tools" / "gpu_kit" / "unpack.py"
    command = [sys.executable, script, path, "--to", tmp_path / "prefix"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: A part must ")
    assert str(path) in done.stderr
    assert not (tmp_path / "prefix").exists()


def test_a_part_that_cannot_hold_a_piece_is_refused(files, tmp_path):
    with pytest.raises(ValueError, match=r"must hold a piece of \d+ bytes. Received: limit=1000"):
        parts.write("kit", files[:1], tmp_path / "out", limit=1000)


def test_waiting_says_what_lacks(files, tmp_path):
    script = ROOT / "tools" / "gpu_kit" / "unpack.py"
    command = [sys.executable, script, "--to", tmp_path / "prefix", "--wait", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "error: not unpacked within 0.0 s: any part\n")
    paths = parts.write("kit", files[:1], tmp_path / "out", limit=10**6)
    done = subprocess.run([*command, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_same_files_give_the_same_parts(files, tmp_path):
    digests = [
        hashlib.sha256(parts.write("kit", files, tmp_path / name, limit=10**6)[0].read_bytes())
        for name in ("a", "b")
    ]
    assert digests[0].digest() == digests[1].digest()


def test_the_project_goes_in_whole():
    names = {file.path for file in contents.project()}
    assert {"bin/tf_mavg", "bin/pytest"} <= names
    libraries = [str(OPS_PATH.relative_to(PACKAGE)), "libtf_mavg_gpu_images.so"]
    assert {f"{contents.SITE}/tf_mavg/{library}" for library in libraries} <= names
    assert any(name.startswith(f"{contents.SITE}/tf_mavg/_native.") for name in names)
    assert any(name.startswith(f"{contents.SITE}/tf_mavg_cli/") for name in names)
