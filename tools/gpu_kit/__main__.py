"""The command line: python -m gpu_kit environment | project OUT; see --help."""

import argparse
import shutil
import sys
from pathlib import Path

from gpu_kit import contents, parts

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
from gpu_emulator import environment


def main() -> None:
    """Writes a kit's parts and unpack.py into a folder."""
    parser = argparse.ArgumentParser(prog="gpu_kit", description=__doc__)
    parser.add_argument("kit", choices=["environment", "project"])
    parser.add_argument("folder", type=Path, metavar="OUT")
    parser.add_argument("--limit", type=int, default=58_000_000, help="bytes of a part at most")
    parser.add_argument("--architecture", type=int, default=90, help="the GPU's compute capability")
    parser.add_argument("--ptx", action="store_true", help="keep PTX beside machine code")
    options = parser.parse_args()
    if options.kit == "environment":
        files = contents.environment(environment.build(), options.architecture, ptx=options.ptx)
    else:
        files = contents.project()
    for path in parts.write(options.kit, files, options.folder, limit=options.limit):
        print(f"{path} {path.stat().st_size / 1e6:.1f} MB")  # noqa: T201 - a command's answer.
    shutil.copy(contents.HERE / "unpack.py", options.folder)


if __name__ == "__main__":
    main()
