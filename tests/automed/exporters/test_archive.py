"""A file of several parts is the same for the same parts, and nothing but what was packed."""

import io
import zipfile

import pytest

from automed.exporters import archive

PARTS = {"folder/first.bin": bytes(range(256)), "second": b""}


def zipped(write, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        write(file)
    return buffer.getvalue()


def test_parts_come_back_and_equal_parts_make_equal_bytes():
    packed = archive.pack(PARTS)
    assert archive.unpack(packed) == PARTS
    assert archive.pack(dict(PARTS)) == packed


def test_every_damage_of_a_part_is_seen():
    packed = archive.pack(PARTS)
    start = packed.index(PARTS["folder/first.bin"])
    for place in range(start, start + 256, 17):
        damaged = packed[:place] + bytes([packed[place] ^ 4]) + packed[place + 1 :]
        with pytest.raises(ValueError, match="CRC"):
            archive.unpack(damaged)


def test_a_compressed_part_is_refused():
    bomb = zipped(lambda file: file.writestr("x", bytes(10_000)), zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed"):
        archive.unpack(bomb)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_parts_of_one_name_are_refused():
    def write(file):
        file.writestr("x", b"what one reader takes")
        file.writestr("x", b"and what another does")

    with pytest.raises(ValueError, match="one name"):
        archive.unpack(zipped(write))
