"""Moving statistics of batch normalization, recomputed for the weights that a model has now.

Each layer computes its own statistics, as it does in a training step: here they are only added up.
While averages are in the place of weights, the statistics become those of the averages. What is
averaged keeps them by itself; for the rest the holder gives the old ones back with the weights.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tf_mavg._averages.swap.held import HeldValues
from tf_mavg._averages.swap.holders import swapped_holders
from tf_mavg._averages.swap.signals import uninterrupted
from tf_mavg._compat.distribute import components_of, strategy_of
from tf_mavg._compat.keras import layers_of
from tf_mavg._compat.tensorflow import make_variable
from tf_mavg._keras.support import path_of
from tf_mavg._ops.variables import tensorflow_variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType


def recompute_statistics(  # noqa: PLR0913, PLR0917 - the face's, and two of its Keras.
    keras: ModuleType,
    kinds: tuple[Any, ...],
    model: Any,
    data: Any,
    batch_size: int,
    steps: int | None,
) -> None:
    """As `tf_mavg.keras.update_batch_norm`.

    Args:
      keras: The module `keras` or `tf_keras`.
      kinds: Its classes of layers that normalize batches.
      model: A model, or a layer.
      data: Batches, or arrays.
      batch_size: Of arrays.
      steps: How many batches at most.
    """
    if not isinstance(model, keras.layers.Layer):
        message = f"`model` must be a model of {keras.__name__}. Received: {model!r}."
        raise TypeError(message)
    layers = [layer for layer in layers_of(model) if isinstance(layer, kinds)]
    if not tf.executing_eagerly():
        message = "update_batch_norm() must be called in eager mode, not in a function or a graph."
        raise RuntimeError(message)
    for layer in layers:
        _check_can_collect(layer)
    collectors = [_Collector(layer) for layer in layers if layer.trainable]
    metrics = [
        variable for metric in getattr(model, "metrics", ()) for variable in metric.variables
    ]
    state = map(tensorflow_variable, [*model.non_trainable_variables, *metrics])
    before = HeldValues()
    before.hold(component for variable in state for component in components_of(variable))
    try:
        with contextlib.ExitStack() as stack:
            for collector in collectors:
                stack.enter_context(collector.in_place())
            _run(keras, model, _batches(keras, data, batch_size), steps)
    except BaseException:
        with uninterrupted():
            before.put_back()
        raise
    with uninterrupted():
        before.put_back()
        holders = swapped_holders(model.variables)
        for holder in holders:
            holder.swaps.hold_until_swapped_back([v for one in collectors for v in one.statistics])
        for collector in collectors:
            collector.assign(holders)


class _Collector:
    """What one layer finds in batches, added up."""

    def __init__(self, layer: Any) -> None:
        self.statistics = [
            tensorflow_variable(one) for one in (layer.moving_mean, layer.moving_variance)
        ]
        self._layer = layer
        self._call = layer.call
        self._signature = inspect.signature(layer.call)
        zeros = [tf.zeros(variable.shape, tf.float64) for variable in self.statistics]
        self._sums = [make_variable(zero) for zero in zeros]
        self._rows = make_variable(tf.zeros([], tf.float64))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """A context in which calls of the layer are seen: there is no other way to see each."""
        own = self._layer.__dict__
        before = own.get("call")
        own["call"] = self._seen_call  # Past the layer's __setattr__, which would track it.
        try:
            yield
        finally:
            own.pop("call")
            if before is not None:
                own["call"] = before

    def _seen_call(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the layer; in training mode its variables then hold this call's statistics."""
        arguments = self._signature.bind(*args, **kwargs).arguments
        if not arguments.get("training"):
            return self._call(*args, **kwargs)
        # From zero: tf_keras adds a difference, which rounds.
        for variable in self.statistics:
            variable.assign(tf.zeros_like(variable))
        momentum, self._layer.momentum = self._layer.momentum, 0.0
        try:
            outputs = self._call(*args, **kwargs)
        finally:
            self._layer.momentum = momentum
        inputs = next(iter(arguments.values()))
        rows = tf.cast(tf.shape(inputs)[0], tf.float64)
        self._rows.assign_add(rows)
        for total, variable in zip(self._sums, self.statistics, strict=True):
            # The statistics of no rows are no numbers.
            found = tf.cast(variable.read_value(), tf.float64)
            total.assign_add(tf.math.multiply_no_nan(found, rows))
        return outputs

    def assign(self, holders: Sequence[Any]) -> None:
        """Gives the layer the mean of what was found, if it was called in training mode."""
        rows = self._rows.read_value()
        if not rows:
            return
        for total, variable in zip(self._sums, self.statistics, strict=True):
            mean = total / rows
            variable.assign(tf.cast(mean, variable.dtype))
            for holder in holders:
                holder.swaps.set_copied_average(variable, mean)


def _check_can_collect(layer: Any) -> None:
    """Raises an error unless a layer's statistics can be recomputed."""
    if not layer.built:
        message = (
            "Each layer that normalizes batches must be built. Received: "
            f"{layer.name!r}, which is not; call the model on a batch first."
        )
        raise ValueError(message)
    if layer.trainable and getattr(layer, "renorm", False):
        message = (
            "Statistics of batch renormalization correct each other and cannot be recomputed. "
            f"Received: {layer.name!r} with renorm=True; set its trainable=False to leave it alone."
        )
        raise ValueError(message)
    strategy = strategy_of(tensorflow_variable(layer.moving_mean))
    replicas = 1 if strategy is None else strategy.num_replicas_in_sync
    if replicas > 1:
        message = (
            "update_batch_norm() works on one replica. Received: "
            f"{path_of(layer.moving_mean)!r} of {replicas}; save the weights, load them into a "
            "model that was made outside of the strategy, and update that one."
        )
        raise RuntimeError(message)


def _run(keras: ModuleType, model: Any, batches: tuple[Any, Any], steps: int | None) -> None:
    """Calls a model in training mode on batches; in a function that is traced once."""
    elements, spec = batches
    is_dataset = isinstance(elements, tf.data.Dataset)
    if steps is None and is_dataset and elements.cardinality() == tf.data.INFINITE_CARDINALITY:
        message = "`data` without an end needs `steps`, the number of batches. Received: none."
        raise ValueError(message)

    def inputs_of(batch: Any) -> Any:
        return keras.utils.unpack_x_y_sample_weight(batch)[0]

    def call(inputs: Any) -> None:
        model(inputs, training=True)

    step = call
    seen = 0
    for batch in itertools.islice(elements, steps):
        inputs = tf.nest.map_structure(_tensor, inputs_of(batch))
        if not seen and not getattr(model, "run_eagerly", False):
            step = tf.function(call, reduce_retracing=True)
            # The last batch may be smaller: trace for any size.
            any_size = tf.nest.map_structure(_spec, inputs) if spec is None else inputs_of(spec)
            step.get_concrete_function(any_size)
        step(inputs)
        seen += 1
    if not seen:
        message = "`data` must have a batch. Received: none."
        raise ValueError(message)


def _tensor(value: Any) -> Any:
    return value if tf.is_tensor(value) else tf.convert_to_tensor(value)


def _spec(tensor: Any) -> Any:
    spec = tf.type_spec_from_value(tensor)
    if isinstance(spec, tf.TensorSpec) and spec.shape.rank:
        return tf.TensorSpec([None, *spec.shape[1:]], spec.dtype)
    return spec


def _batches(keras: ModuleType, data: Any, batch_size: int) -> tuple[Any, Any]:
    """The batches, and what each of them looks like, if that is known beforehand."""
    is_array = hasattr(data, "__array__")
    if is_array or isinstance(data, tuple | list | dict):
        inputs = keras.utils.unpack_x_y_sample_weight(data)[0]
        data = tf.data.Dataset.from_tensor_slices((inputs,)).batch(batch_size)
    if isinstance(data, tf.data.Dataset):
        return data, data.element_spec
    if isinstance(data, keras.utils.Sequence):
        return (data[i] for i in range(len(data))), None
    return data, None
