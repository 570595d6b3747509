"""bench/keras_step.py measures all contestants, each with its own averaging."""

import json

import keras_step


def test_it_measures_every_contestant(monkeypatch):
    monkeypatch.setattr(keras_step, "LAYERS", 2)
    results = json.loads(json.dumps(keras_step.measure(rounds=3, steps=1)))
    assert results.pop("settings")["variables"] == 4
    assert list(results) == ["without XLA", "with XLA"]
    for contestants in results.values():
        assert list(contestants) == ["plain", "use_ema", "tf_mavg"]
        for times in contestants.values():
            assert 0 < times["quartiles"][0] <= times["median"] <= times["quartiles"][1]
