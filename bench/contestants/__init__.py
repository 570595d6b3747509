"""Who updates and swaps: tf_mavg and its peers, each a line of a table.

Those of rows, replicas, memory and training steps are beside what measures them.
"""
