"""Schedules of decays: each says at which decay the n-th update of an average is made.

An update is `average -= (average - variable) * rate`, with `rate = 1 - decay`. Updates are counted
from 1. A schedule is a value: it cannot be changed, two that were made alike are equal, and it has
no state. Decays are computed in float64, products of them as sums of logarithms, so that neither a
decay near 1 nor its rate near 0 loses digits.

schedule = tf_mavg.decays.InverseGamma(power=3 / 4, maximum=0.9999)
schedule.rate(1), schedule.decay(1000)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from tf_mavg._decays.numbers import not_negative, number_in, positive
from tf_mavg._decays.profiles import exponent_of, sigma_rel_of
from tf_mavg._decays.schedule import Decay, ForBatch

if TYPE_CHECKING:
    from tf_mavg._decays.functions import Functions

__all__ = [
    "Constant",
    "Decay",
    "HalfLife",
    "InverseGamma",
    "PowerFunction",
    "Uniform",
    "WarmUp",
    "exponent_of",
    "sigma_rel_of",
]


class Constant(Decay):
    """The same decay at every update."""

    def __init__(self, decay: float) -> None:
        """Makes the schedule.

        Raises:
          ValueError: If `decay` is not in [0, 1].
        """
        super().__init__(decay=number_in("decay", decay, 0, 1))

    def _log_decay(self, n: Any, do: Functions) -> Any:
        decay = self._arguments["decay"]
        return do.zeros_like(n) + (math.log(decay) if decay else -math.inf)

    def _rate(self, n: Any, do: Functions) -> Any:
        return do.zeros_like(n) + (1 - self._arguments["decay"])

    def _decay(self, n: Any, do: Functions) -> Any:
        return do.zeros_like(n) + self._arguments["decay"]

    def _log_product(self, last: Any, steps: int, do: Functions) -> Any:
        return steps * self._log_decay(last, do)


class WarmUp(Decay):
    """The smaller of `decay` and (1 + n) / (10 + n): the warm-up of TensorFlow.

    `tf.train.ExponentialMovingAverage` has it when `num_updates` counts the step just taken, as
    optimizers count; n is that count.
    """

    def __init__(self, decay: float) -> None:
        """Makes the schedule.

        Raises:
          ValueError: If `decay` is not in [0, 1].
        """
        super().__init__(decay=number_in("decay", decay, 0, 1))

    def _log_decay(self, n: Any, do: Functions) -> Any:
        return do.log1p(-self._rate(n, do))

    def _rate(self, n: Any, do: Functions) -> Any:
        return do.maximum(9 / (10 + n), 1 - self._arguments["decay"])

    def _decay(self, n: Any, do: Functions) -> Any:
        return do.minimum((1 + n) / (10 + n), self._arguments["decay"])


class InverseGamma(Decay):
    """1 - (1 + (n - 1) / gamma)^-power, between a minimum and a maximum.

    The first update copies the variable, whatever the minimum. A `power` of 2/3 is for runs of a
    million steps and more, since the decay then reaches 0.9999 at n = 10^6; 3/4, for shorter ones,
    reaches it at n = 215,444. With `power=1` and `maximum=1` it is the uniform average; with a
    smaller maximum it is uniform at first, and constant from there.

    Source: K. Crowson's `EMAWarmup` of k-diffusion. diffusers (`use_ema_warmup`), timm
    (`ModelEmaV3`) and ema-pytorch have it, with n counted from the second update.
    """

    def __init__(
        self,
        gamma: float = 1.0,
        power: float = 2 / 3,
        minimum: float = 0.0,
        maximum: float = 0.9999,
    ) -> None:
        """Makes the schedule.

        Raises:
          ValueError: If `gamma` or `power` is not above 0, `maximum` not in [0, 1], or `minimum`
            not between 0 and it.
        """
        maximum = number_in("maximum", maximum, 0, 1)
        super().__init__(
            gamma=positive("gamma", gamma),
            power=positive("power", power),
            minimum=number_in("minimum", minimum, 0, maximum),
            maximum=maximum,
        )

    def _log_decay(self, n: Any, do: Functions) -> Any:
        return do.log1p(-self._rate(n, do))

    def _rate(self, n: Any, do: Functions) -> Any:
        gamma, power, minimum, maximum = self._arguments.values()
        rate = (1 + (n - 1) / gamma) ** -power
        clipped = do.maximum(do.minimum(rate, 1 - minimum), 1 - maximum)
        return do.where(n <= 1, do.zeros_like(n) + 1, clipped)

    def _decay(self, n: Any, do: Functions) -> Any:
        return 1 - self._rate(n, do)


class HalfLife(Decay):
    """The weight of a value halves each time that so many steps, or such a part of the run, go by.

    The decay is 2^(-1 / h), with h = `steps`, or h = `fraction` * n, which needs no horizon; with
    both, h is the smaller one: a half-life that ramps up.

    Source: the half-life of EDM (Karras et al., arXiv 2206.00364) and its `rampup_ratio`; the
    fraction: Meterez et al., "Anytime Pretraining", arXiv 2602.03702.
    """

    def __init__(self, steps: float | None = None, fraction: float | None = None) -> None:
        """Makes the schedule.

        Args:
          steps: In updates, above 0.
          fraction: In parts of the updates so far, above 0.

        Raises:
          ValueError: If neither is given, or one is not a finite number above 0.
        """
        if steps is None and fraction is None:
            message = "Give `steps`, `fraction` or both. Received: neither."
            raise ValueError(message)
        given = {"steps": steps, "fraction": fraction}
        super().__init__(
            **{name: positive(name, value) for name, value in given.items() if value is not None}
        )

    def _log_decay(self, n: Any, do: Functions) -> Any:
        life = self._arguments.get("fraction", math.inf) * n
        return -math.log(2) / do.minimum(life, self._arguments.get("steps", math.inf))

    def _log_product(self, last: Any, steps: int, do: Functions) -> Any:
        if "fraction" in self._arguments:
            return super()._log_product(last, steps, do)
        return steps * self._log_decay(last, do)


class PowerFunction(Decay):
    """(1 - 1/n)^(exponent + 1): the average weighs the value at step s by about s^exponent.

    It keeps its shape however long the run is, and needs no horizon. The first update copies the
    variable.

    Source: Karras et al. (EDM2), arXiv 2312.02696, equations 121 to 127.

    Attributes:
      exponent: 0 is the uniform average.
      sigma_rel: The width of the average, as part of the run: 0.05 or 0.10 are usual.
    """

    exponent: float
    sigma_rel: float

    def __init__(self, sigma_rel: float | None = None, exponent: float | None = None) -> None:
        """Makes the schedule, of either of the two.

        Args:
          sigma_rel: In (0, 12^-0.5 = 0.288675...].
          exponent: 0 or more.

        Raises:
          ValueError: Unless just one is given, and in its interval.
        """
        if (sigma_rel is None) == (exponent is None):
            message = (
                "Give either `sigma_rel` or `exponent`. "
                f"Received: sigma_rel={sigma_rel}, exponent={exponent}."
            )
            raise ValueError(message)
        if sigma_rel is not None:
            super().__init__(sigma_rel=positive("sigma_rel", sigma_rel))
            self._note(exponent=exponent_of(sigma_rel), sigma_rel=float(sigma_rel))
        elif exponent is not None:
            super().__init__(exponent=not_negative("exponent", exponent))
            self._note(exponent=float(exponent), sigma_rel=sigma_rel_of(exponent))

    def _log_decay(self, n: Any, do: Functions) -> Any:
        return (self.exponent + 1) * do.log1p(-1 / n)

    def _log_product(self, last: Any, steps: int, do: Functions) -> Any:
        return (self.exponent + 1) * do.log1p(-steps / last)


class Uniform(Decay):
    """(n - 1) / n: the average weighs all steps alike, as that of Polyak and Ruppert."""

    def __init__(self) -> None:
        """Makes the schedule."""
        super().__init__()

    def _log_decay(self, n: Any, do: Functions) -> Any:
        return do.log1p(-1 / n)

    def _rate(self, n: Any, do: Functions) -> Any:  # noqa: ARG002 - of every schedule.
        return 1 / n

    def _decay(self, n: Any, do: Functions) -> Any:  # noqa: ARG002 - of every schedule.
        return (n - 1) / n

    def _log_product(self, last: Any, steps: int, do: Functions) -> Any:
        return do.log1p(-steps / last)


# All that a configuration may hold.
SCHEDULES: Final = (Constant, ForBatch, HalfLife, InverseGamma, PowerFunction, Uniform, WarmUp)
