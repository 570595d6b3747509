"""Variables that a MovingAverage averages beside the trained ones, such as moving statistics.

A configuration cannot hold variables: it has their paths. They are looked up in the model that is
compiled with the optimizer.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from tf_mavg._keras.files.matching import match_paths
from tf_mavg._keras.support import path_of
from tf_mavg._ops.variables import distinct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Given = Iterable[Any] | Callable[[], Iterable[Any]]


class ExtraVariables:
    """What the argument `extra_variables` stands for.

    Attributes:
      given: The variables, their paths, or a function that returns them.
    """

    def __init__(self, given: Given) -> None:
        """Looks nothing up yet.

        Raises:
          TypeError: If `given` is none of the three.
        """
        if isinstance(given, str) or not (callable(given) or hasattr(given, "__iter__")):
            message = (
                "`extra_variables` must be variables, or a function that returns them. "
                f"Received: {given!r}."
            )
            raise TypeError(message)
        self.given = given if callable(given) else tuple(given)
        self._model: Callable[[], Any] = lambda: None

    def look_in(self, model: Any) -> None:
        """Has paths be those of a model's variables."""
        self._model = weakref.ref(model)

    def paths(self) -> list[str]:
        """The paths of the variables."""
        return [one if isinstance(one, str) else path_of(one) for one in self._found()]

    def variables(self) -> list[Any]:
        """The variables, each once.

        Raises:
          ValueError: If paths were given, and are not those of a model's variables.
        """
        found = self._found()
        paths = [one for one in found if isinstance(one, str)]
        return distinct(found) if not paths else self._at(paths)

    def _found(self) -> list[Any]:
        return list(self.given() if callable(self.given) else self.given)

    def _at(self, paths: list[str]) -> list[Any]:
        model = self._model()
        known = [] if model is None else list(model.non_trainable_variables)
        names = [path_of(variable) for variable in known]
        by_path = dict(zip(names, known, strict=True))
        if not set(paths) <= by_path.keys():  # Keras numbers layers anew.
            found = match_paths(paths, names)
            by_path = {paths[then]: known[now] for now, then in found.items()}
        missing = [path for path in paths if path not in by_path]
        if missing:
            message = (
                "The averages of a configuration need their variables. Received: none at "
                f"{missing[0]!r}; set optimizer.extra_variables = lambda: "
                "model.non_trainable_variables before the optimizer is built."
            )
            raise ValueError(message)
        return [by_path[path] for path in paths]
