"""Packs TensorFlow's GPU build, its Python and tf_mavg for a machine with a GPU and no network.

    cd tools && python -m gpu_kit environment OUT      Python, TensorFlow, pytest: what stays
    cd tools && python -m gpu_kit project OUT          the installed tf_mavg: what changes

Both write parts that travel one by one, and unpack.py beside them, which is all that unpacking
takes. On the other machine: `python3 unpack.py PART... --to PREFIX`, then `PREFIX/run COMMAND...`.
The files, bottom up: fat_binaries and elf (make libraries smaller), unpack.py (a script of its own,
with the format of parts), parts (writes it), contents (what goes in), and what goes in as it is:
run.sh and cublas.py.
"""
