"""The house rules that no single module can keep: packaging, floors, quick start-up."""

import ast
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from automed.cli import app

ROOT = Path(__file__).parents[2]
TREES = ("automed", "search_spaces", "studies")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
UNSHIPPED = ROOT / "studies" / "benchmarks"  # run from a checkout; no part of the package
SETUPTOOLS = PROJECT["tool"]["setuptools"]
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


def shipped_files() -> set[Path]:
    """Every file of the three trees that belongs into the package."""
    return {
        path
        for tree in TREES
        for path in (ROOT / tree).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and UNSHIPPED not in path.parents
    }


def package_of(folder: Path) -> str:
    parts = folder.relative_to(ROOT).parts
    return ".".join(parts if parts[0] == "automed" else ("automed", *parts))


def test_packages_listed_are_the_folders_on_disk() -> None:
    folders = {path.parent for path in shipped_files()}
    assert {package_of(folder) for folder in folders} == set(SETUPTOOLS["packages"])
    lacking = [folder for folder in folders if not (folder / "__init__.py").is_file()]
    assert not lacking


def test_files_that_are_no_code_are_package_data() -> None:
    listed: set[Path] = set()
    for package, patterns in SETUPTOOLS["package-data"].items():
        folder = ROOT / SETUPTOOLS["package-dir"].get(package, package.replace(".", "/"))
        for pattern in patterns:
            found = set(folder.glob(pattern))
            assert found, f"{package}: nothing matches {pattern}"
            listed |= found
    assert {path for path in shipped_files() if path.suffix != ".py"} == listed


def imports(path: Path) -> set[str]:
    """Every module a file imports, relative ones with their dots."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (node.module or "")
            found |= {stem, *(f"{stem}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("tree", [*TREES, "tests"])
def test_families_and_tasks_are_reached_by_name_only(tree: str) -> None:
    paths = sorted((ROOT / tree).rglob("*.py"))
    assert paths
    broken = {
        (str(path.relative_to(ROOT)), name)
        for path in paths
        for name in imports(path)
        if {"search_spaces", "studies"} & set(name.split("."))
    }
    assert not broken


def test_floors() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], ["list", "strategies", "--json"], ["search", "--help"]]
)
def test_words_come_before_heavy_libraries(arguments: list[str]) -> None:
    code = (
        "import sys; from automed.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'torch', 'optuna', 'ray', 'onnxruntime', 'onnx', 'monai', 'sklearn', 'pandas'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = python(code, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_importing_automed_is_quick_too() -> None:
    code = "import automed, sys; sys.exit('torch' in sys.modules or 'optuna' in sys.modules)"
    assert python(code).returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])
    assert done.exit_code == 0
    assert f"Example: automed {command}" in " ".join(done.output.split())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the files in a wheel built from a copy of the tree."""
    source = tmp_path_factory.mktemp("source")
    for tree in TREES:
        shutil.copytree(ROOT / tree, source / tree, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", PROJECT["project"]["readme"]):
        shutil.copy(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", target, source),
        ],
        check=True,
    )
    (built,) = target.glob("*.whl")
    return set(zipfile.ZipFile(built).namelist())


@pytest.mark.slow
def test_wheel_holds_automed_and_nothing_else_at_the_top(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    version = PROJECT["project"]["version"]
    assert tops == {"automed", f"automed-{version}.dist-info"}


@pytest.mark.slow
def test_wheel_holds_every_file_of_the_three_trees(wheel: set[str]) -> None:
    expected = {
        f"{package_of(path.parent).replace('.', '/')}/{path.name}" for path in shipped_files()
    }
    assert {name for name in wheel if name.startswith("automed/")} == expected
    assert {
        "automed/search_spaces/vgg.py",
        "automed/studies/lung-ct.yaml",
        "automed/py.typed",
        "automed/report/page.html",
    } <= wheel
