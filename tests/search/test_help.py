"""Help and completion: every command has an example that parses, and shells learn what there is."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from make_photos import with_exif

from indexer import Library, index_sources
from indexer.storage.tags import Tag
from indexer.testing import color_encoder
from search.cli import main

CONTEXT = click.Context(main, info_name="descry")


def commands() -> Iterator[tuple[str, click.Command]]:
    for name in main.list_commands(CONTEXT):
        command = main.get_command(CONTEXT, name)
        assert command is not None
        yield name, command


def examples(command: click.Command) -> list[str]:
    """The lines of a command's help that show how it is called."""
    lines = (line.strip() for line in inspect.cleandoc(command.help or "").splitlines())
    return [re.split(r" [|>] | {2}#", line)[0] for line in lines if line.startswith("descry ")]


def test_every_command_has_an_example() -> None:
    without = [
        name for name, command in commands() if not any(f"descry {name}" in example for example in examples(command))
    ]
    assert without == []


@pytest.mark.parametrize(
    "example", [example for command in (main, *(command for _, command in commands())) for example in examples(command)]
)
def test_every_example_parses(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "queries.txt").write_text("a cat\n")
    with main.make_context("descry", shlex.split(example)[1:]) as context:
        name, command, arguments = main.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        assert command.make_context(name, arguments, parent=context).params is not None


def completed(*words: str) -> list[str]:
    """What a shell would offer for the last of the words."""
    found = ShellComplete(main, {}, "descry", "_DESCRY_COMPLETE").get_completions(list(words[:-1]), words[-1])
    return [item.value for item in found]


def test_commands_options_formats_and_encoders_are_completed() -> None:
    assert completed("sea") == ["search"]
    assert "--camera" in completed("search", "--cam")
    assert completed("search", "--format", "js") == ["json", "jsonl"]
    assert completed("index", "--model", "vit-b") == ["vit-b-32", "vit-b-32-256"]
    assert completed("explain", "--model", "emb") == ["embedded"]
    assert completed("completion", "") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_own_script_and_is_told_where_to_put_it(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0, done.output
    assert f"_DESCRY_COMPLETE={shell}_complete" in done.stdout
    assert "put it into ~/" in done.stderr


def test_another_shell_is_refused_with_those_there_are() -> None:
    done = CliRunner().invoke(main, ["completion", "tcsh"])
    assert done.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr


def test_bash_completes_by_the_script(tmp_path: Path) -> None:
    script = tmp_path / "descry.bash"
    script.write_text(CliRunner().invoke(main, ["completion", "bash"]).stdout)
    ask = f'source {script}; COMP_WORDS=(descry doc); COMP_CWORD=1; _descry_completion descry; echo "${{COMPREPLY[@]}}"'
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", ask], capture_output=True, text=True, env=os.environ | {"PATH": path}, check=True
    )
    assert done.stdout.strip() == "doctor"


def test_values_of_the_library_are_completed(tmp_path: Path) -> None:
    library = tmp_path / "library"
    (tmp_path / "photos").mkdir()
    with_exif(tmp_path / "photos" / "a.jpg", make="Canon", camera="Canon EOS R5")
    with Library.create(library, color_encoder()) as opened:
        index_sources(opened, [tmp_path / "photos"], color_encoder())
        (id,) = opened.catalog.ids("image", "1").tolist()
        opened.catalog.tags.replace(["cat"], [Tag(id, "cat", 0.9)])
    given = ("--library", str(library), "search")
    assert completed(*given, "--camera", "can") == ["Canon EOS R5"]
    assert completed(*given, "--tag", "") == ["cat"]
    assert completed(*given, "--in", str(tmp_path)[:5]) == [str(tmp_path / "photos")]
    assert completed(*given, "--type", "") == ["jpg"]
    assert completed(*given, "--orientation", "p") == ["portrait"]
    assert completed(*given, "--sort", "da") == ["date"]
    assert completed("search", "--library", str(library), "--tag", "c") == ["cat"]
    assert completed("--library", str(tmp_path / "nothing"), "search", "--tag", "") == []
