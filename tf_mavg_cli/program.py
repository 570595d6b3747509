"""The command line: its commands, and the sections of its help."""

from __future__ import annotations

from typing import Final

import click

from tf_mavg_cli.bench import bench
from tf_mavg_cli.check import check
from tf_mavg_cli.convert import convert
from tf_mavg_cli.info import info
from tf_mavg_cli.merge import merge
from tf_mavg_cli.posthoc import posthoc

SECTIONS: Final = {
    "Files": [merge, convert, posthoc],
    "This machine": [info, check, bench],
}


class Sections(click.Group):
    """A group of commands whose help has a section for each kind."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the sections."""
        width = max(len(name) for name in self.list_commands(ctx))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                rows = [(f"{c.name:{width}}", c.get_short_help_str(limit=80)) for c in commands]
                formatter.write_dl(rows)


@click.group(
    cls=Sections,
    commands=[command for commands in SECTIONS.values() for command in commands],
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog='Shells complete names: eval "$(_TF_MAVG_COMPLETE=bash_source tf_mavg)", or zsh, fish.',
)
@click.version_option(package_name="tf_mavg", message="%(prog)s %(version)s")
def tf_mavg() -> None:
    """Moving averages of a TensorFlow model's weights."""
