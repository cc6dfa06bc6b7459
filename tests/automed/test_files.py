"""A file is the old one or the new one, never half of either."""

from pathlib import Path

import pytest

from automed import files


@pytest.mark.parametrize("content", [b"\x00\xff", "\u00e4 \u2013\n"])
def test_what_is_written_replaces_what_was_there(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "it.json"
    path.write_text("old")
    files.replace(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


def test_a_neighbour_of_the_same_stem_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "vgg.tmp").write_text("mine")
    files.replace(tmp_path / "vgg.onnx", b"model")
    assert (tmp_path / "vgg.tmp").read_text() == "mine"


def test_a_write_that_fails_leaves_no_scratch(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        files.replace(tmp_path / "taken", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
