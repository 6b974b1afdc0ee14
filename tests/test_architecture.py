"""Imports point one way, and heavy ones stay out of where they would be waited for."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("indexer", "search", "descry", "evaluation", "training", "benchmarks")  # each may import those before it

# Inside `indexer`, what stands higher may import what stands lower, never the other way round.
INDEXER = (
    ("errors", "items", "backends", "threads", "places"),
    ("storage", "photos", "atomic", "texts"),
    ("nearest",),
    ("encoders", "modalities"),
    ("walk", "report", "testing", "thumbnails"),
    ("survey", "chunks", "library"),
    ("pipeline", "transfer", "postgres", "ocr"),
    ("reembedding", "watching", "cluster", "milvus"),
)
INSIDE = {
    "postgres": (("connection",), ("schema", "thumbnails"), ("catalog",), ("nearest",), ("library",)),
    "milvus": (("expressions",), ("connection",), ("library",)),
    "storage": (
        ("packing",),
        ("stored_vectors",),
        ("migrations",),
        ("database",),
        ("files", "listing", "tags", "full_text"),
        ("catalog",),
    ),
    "nearest": (
        ("ivf_parameters", "gpu"),
        ("prefilter",),
        ("exact",),
        ("saved",),
        ("ivf",),
        ("index",),
        ("tuning",),
        ("cache",),
    ),
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """What a module imports, with `from indexer.storage import migrations` told as the module that it is."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            files = [name for name in names if (ROOT / Path(*name.split("."))).with_suffix(".py").exists()]
            yield from files or [node.module]


@pytest.mark.parametrize("package", LAYERS)
def test_packages_import_only_those_below_them(package: str) -> None:
    above = LAYERS[LAYERS.index(package) + 1 :]
    wrong = [(str(path), name) for path in modules(package) for name in imports(path) if name.split(".")[0] in above]
    assert not wrong


def test_inside_the_indexer_imports_point_down() -> None:
    assert not upward(ROOT / "indexer", INDEXER)


@pytest.mark.parametrize("folder", INSIDE)
def test_inside_its_folders_imports_point_down(folder: str) -> None:
    assert not upward(ROOT / "indexer" / folder, INSIDE[folder])


def upward(folder: Path, levels: tuple[tuple[str, ...], ...]) -> list[tuple[str, str]]:
    """The imports in a folder of what stands above; every module of it has to stand somewhere."""
    level = {name: number for number, names in enumerate(levels) for name in names}
    above = folder.relative_to(ROOT).parts
    wrong = []
    for path in folder.rglob("*.py"):
        own = path.relative_to(folder).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for name in imports(path):
            parts = name.split(".")
            if (*parts[: len(above)],) == above and len(parts) > len(above):
                other = parts[len(above)]
                if other != own and level[other] > level[own]:
                    wrong.append((str(path), name))
    return wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even late, or for their types alone. What a package hands on by its own name is not followed."""
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for name in LAYERS for path in modules(name)}
    TopologicalSorter({name: set(imports(path)) & set(files) for name, path in files.items()}).prepare()


def test_every_module_says_why_it_exists() -> None:
    silent = [path for package in LAYERS for path in modules(package) if not ast.get_docstring(_tree(path))]
    assert not silent


def test_modules_that_sentences_name_are_there() -> None:
    """In docstrings, comments and pages: `search.filters`, `search/filters.py`, or with a name in it behind it."""
    pages = [ROOT / "CONTRIBUTING.md", ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = re.compile(rf"`((?:{'|'.join(LAYERS)})(?:[./][a-z_]\w*)+)")
    wrong = []
    for path in [*(path for package in LAYERS for path in modules(package)), *pages]:
        for name in named.findall(path.read_text(encoding="utf-8")):
            place = ROOT / name.removesuffix(".py").replace(".", "/")
            home = place.parent / "__init__.py"
            is_there = place.is_dir() or any(one.with_suffix(".py").exists() for one in (place, place.parent))
            if not is_there and not (home.exists() and place.name in home.read_text(encoding="utf-8")):
                wrong.append((path.name, name))
    assert not wrong


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_no_module_prints_but_the_edges() -> None:
    edges = {"cli.py", "terminal.py", "progress.py", "__main__.py"}
    wrong = [
        str(path)
        for package in ("indexer", "search")
        for path in modules(package)
        if path.name not in edges
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not wrong


def test_only_the_edge_to_the_terminal_writes_to_it() -> None:
    """Elsewhere control characters of names might pass."""
    wrong = [
        str(path)
        for path in modules("search")
        if path.name != "terminal.py"
        and re.search(r"click\.s?echo|sys\.(stdout|stderr)\.write", path.read_text("utf-8"))
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("search", {"numpy", "click"}),
        ("indexer", {"numpy", "sqlite3"}),
        ("search.cli", {"numpy", "faiss", "PIL", "platformdirs", "filelock"}),
        (
            "search.engine",
            {
                "faiss",
                "torch",
                "PIL",
                "psycopg",
                "tqdm",
                "filelock",
                "tokenizers",
                "av",
                "ctranslate2",
                "ray",
                "fsspec",
            },
        ),
        ("indexer.encoders.stored", {"torch", "open_clip", "torchvision", "ftfy"}),
    ],
)
def test_importing_it_leaves_out_what_a_query_does_not_need(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted(name for name in sys.modules if '.' not in name))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not heavy & set(loaded.stdout.split())


def test_photos_are_opened_by_declared_formats_only() -> None:
    wrong = [
        str(path)
        for package in ("indexer", "search", "training")
        for path in (*modules(package), *(ROOT / "evaluation" / "readers").glob("*.py"))
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open"
        if "formats" not in {keyword.arg for keyword in node.keywords}
    ]
    assert not wrong


def test_every_suffix_of_a_photo_is_written_and_read_by_the_tests() -> None:
    from make_photos import PHOTOS

    from indexer.photos.suffixes import RARE_SUFFIXES, SUFFIXES

    assert {Path(name).suffix.lower() for name in PHOTOS} == SUFFIXES.difference(*RARE_SUFFIXES.values())


def test_every_scheme_has_a_module_that_loads_and_every_modality_a_tower_of_the_shipped_encoder() -> None:
    from indexer import load_encoder
    from indexer.encoders import DEFAULT, SCHEMES
    from indexer.modalities import MODALITIES

    for module in SCHEMES.values():
        assert callable(importlib.import_module(module).load)
    assert {modality.tower for modality in MODALITIES.values()} == set(load_encoder(DEFAULT).towers)


def test_every_command_has_a_row_and_every_file_commands() -> None:
    import click

    from search.commands import COMMANDS

    files = {path.stem for path in (ROOT / "search" / "commands").glob("*.py")} - {"__init__"}
    named = {
        one.name: file
        for file in files
        for one in vars(importlib.import_module(f"search.commands.{file}")).values()
        if isinstance(one, click.Command)
    }
    assert named == COMMANDS
    assert set(COMMANDS.values()) == files
