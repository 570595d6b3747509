"""Where things lie: the repository, the tests' programs, and what those import."""

import os
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
ROOT: Final = TESTS.parent
PROGRAMS: Final = TESTS / "programs"
# For PYTHONPATH: the helpers, and the emulated GPU.
HELPERS: Final = os.pathsep.join([str(TESTS / "helpers"), str(TESTS)])
# For programs of tests, which import the tf_mavg that the tests do: also one with a mutant.
PROGRAMS_IMPORT: Final = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), HELPERS]))
