"""The command line: help without TensorFlow, one sentence for a mistake, JSON for scripts."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
import tensorflow as tf
from click.testing import CliRunner

import tf_mavg
from tf_mavg._bench import commands
from tf_mavg_cli import bench, main
from tf_mavg_cli.info import facts

pytestmark = pytest.mark.slow


def run_alone(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; the last line says whether that imported TensorFlow."""
    program = (
        "import sys\nfrom tf_mavg_cli import main\n"
        f"main({list(arguments)!r}, prog_name='tf_mavg', standalone_mode=False)\n"
        "print('tensorflow' in sys.modules)"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def all_commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The arguments that lead to each command of a group, and to itself."""
    paths = [path]
    for name, command in group.commands.items():
        is_group = isinstance(command, click.Group)
        paths += all_commands(command, (*path, name)) if is_group else [(*path, name)]
    return paths


@pytest.mark.parametrize("path", all_commands(main), ids=" ".join)
def test_help_imports_no_tensorflow(path):
    done = run_alone(*path, "-h")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: {' '.join(['tf_mavg', *path])} ")
    assert done.stdout.splitlines()[-1] == "False"
    assert done.stderr == ""


def test_the_version_imports_no_tensorflow():
    done = run_alone("--version")
    assert done.stdout.splitlines() == [f"tf_mavg {tf_mavg.__version__}", "False"]


def test_help_has_sections_with_all_commands():
    printed = CliRunner().invoke(main, []).output
    assert printed.index("Files:") < printed.index("merge") < printed.index("This machine:")
    for name in main.commands:
        assert f"\n  {name} " in printed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["mrege"], "No such command 'mrege'. Did you mean 'merge'?"),
        (["merge", "a", "--wieghts", "x"], "No such option '--wieghts'. Did you mean '--weights'?"),
        (["convert", "a", "-o", "b", "--keep", "all"], "is not one of 'averages', 'weights'"),
        (["merge", "-o", "b"], "Missing argument"),
    ],
)
def test_an_error_in_the_command_line_has_status_2(arguments, expected):
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert expected in done.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["bench", "compare", "lost.json", "lost.json"], "No such file or directory: 'lost.json'"),
        (["bench", "report", "--folder", "lost"], "The folder must have results"),
        (
            ["bench", "measure", "--workload", "BRET"],
            "--workload must be part of a name. Received: 'BRET'; the nearest one is 'BERT-",
        ),
        (
            ["bench", "measure", "--contestant", "tf_mavgg"],
            "--contestant must be part of a name. Received: 'tf_mavgg'; the nearest one is 'tf_m",
        ),
        (["convert", "lost", "-o", "out"], "lost"),
    ],
)
def test_what_the_user_can_put_right_has_status_1(arguments, expected, run_command, tmp_path):
    done = run_command(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("tf_mavg ")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not [*tmp_path.iterdir()]


def test_a_command_in_a_process_of_its_own_prints_its_result_alone():
    command = [Path(sys.executable).with_name("tf_mavg"), "info", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == facts()
    assert done.stderr == ""


def test_what_a_failing_import_writes_is_shown(tmp_path):
    (tmp_path / "tf_mavg.py").write_text("import os\nos.write(2, b'native words')\n1 / 0\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from tf_mavg_cli import main; "
    done = subprocess.run(
        [sys.executable, "-c", program + "main(['info'])"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "native words" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_the_parts_of_the_benchmark_are_those_that_it_has():
    assert bench.PARTS == commands.PARTS


def test_merge_prints_json(run_command, tmp_path):
    for name, value in (("a", 1.0), ("b", 3.0)):
        tf.train.Checkpoint(w=tf.Variable(value)).write(str(tmp_path / name))
    done = run_command("merge", "a", "b", "-o", "out", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {"inputs": {"a": 0.5, "b": 0.5}, "output": "out"}
