"""Runs the mutants: python -m mutants [WORD...], those whose names, kinds or files have all words.

Prints each as it ends, then all that were not caught; ends with 1 if there are any.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

from mutants.listing import Mutant, all_mutants
from mutants.running import Outcome, Result, result_of


def timed(mutant: Mutant) -> tuple[Mutant, Result, float]:
    """A mutant, what became of it, and the seconds that took."""
    began = time.perf_counter()
    result = result_of(mutant)
    return mutant, result, time.perf_counter() - began


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="what the name, kind or file must have")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at once")
    parser.add_argument("--output", action="store_true", help="print what each test printed")
    arguments = parser.parse_args()
    words = arguments.words
    wanted = [
        mutant
        for mutant in all_mutants().values()
        if all(word in f"{mutant.name} {mutant.kind.value} {mutant.file}" for word in words)
    ]
    began, missed = time.perf_counter(), []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        runs = [pool.submit(timed, mutant) for mutant in wanted]
        for number, run in enumerate(as_completed(runs), 1):
            mutant, result, seconds = run.result()
            print(f"{number:3}/{len(wanted)} {seconds:5.1f} s  {result.outcome.value:8}  "
                  f"{mutant.name}", flush=True)  # fmt: skip
            if arguments.output:
                print(result.output)
            if result.outcome is not Outcome.CAUGHT:
                missed.append((mutant, result))
    caught = len(wanted) - len(missed)
    print(f"\n{caught} of {len(wanted)} mutants caught in {time.perf_counter() - began:.0f} s")
    for mutant, result in missed:
        print(f"\n{result.outcome.value}: {mutant.name}\n  {mutant.file}\n  {mutant.test}")
        print(*("    " + line for line in result.output.splitlines()[-8:]), sep="\n")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
