"""The command `tf_mavg` as `python -m tf_mavg`."""

from tf_mavg_cli import main

if __name__ == "__main__":
    main(prog_name="tf_mavg")
