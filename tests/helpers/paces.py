"""What averages are after each step of a pace, in float64, by the documentation's words alone."""

import math


def averages_of(values, decay, start=0, every=1, initial=None):
    """The average after each step.

    Args:
      values: What the variable is after each step; the numbers may be arrays.
      decay: Gives the decay of the n-th step after `start`.
      start: How many steps have no average.
      every: At each how many steps the average moves.
      initial: Where the average starts; by default at the first value.

    Returns:
      As many averages as values.
    """
    average, found = values[0] if initial is None else initial, []
    for n, value in enumerate(values, 1):
        since = n - start
        if start and since <= 1:
            average = value
        elif since % every == 0:
            product = math.prod(float(decay(i)) for i in range(since - every + 1, since + 1))
            average = average * product + value * (1 - product)
        found.append(average)
    return found
