"""The same commands as `python -m tf_mavg_cli`, also where tf_mavg itself cannot be imported."""

from tf_mavg_cli import main

main(prog_name="tf_mavg")
