"""A file is the old one or the new one, never half of either; a folder is one process's."""

import subprocess
import sys
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


def test_a_folder_is_held_by_one_at_a_time_and_by_no_dead_process(tmp_path: Path) -> None:
    holds = (
        "import sys, time, pathlib; from automed import files\n"
        "with files.alone(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holds, tmp_path], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError), files.alone(tmp_path):
            pass
        other.kill()
    with files.alone(tmp_path), pytest.raises(BlockingIOError), files.alone(tmp_path):
        pass
