"""The benchmark: tf_mavg against its peers. `python -m tf_mavg bench` runs it; README.md explains.

In a wheel this package is `tf_mavg._bench`. It uses what any user of tf_mavg can, and the compiled
module for what the hardware allows; nothing of tf_mavg but the command line knows it.

`contestants` are measured by `measuring`, and `reporting` makes tables of the results. `names`,
`workloads`, `models` and `device` lie below these; `choices` and `machine_code` serve `commands`,
which calls all.
"""
