"""Error messages: what is collected is what is raised, and the guide explains and quotes it."""

import re

import pytest
import tensorflow as tf
from messages import FILLED_IN, messages
from places import ROOT

import tf_mavg

MESSAGES = messages(ROOT)
GUIDE = (ROOT / "docs" / "troubleshooting.md").read_text()
SYMPTOMS = GUIDE.index("## No error, but wrong")
# An item of the guide begins with what it quotes.
QUOTES = [
    " ".join(quote.split())
    for quote in re.findall(r"^- \*\*(.+?)\*\*\\$", GUIDE[:SYMPTOMS], re.MULTILINE | re.DOTALL)
]
# A message of one of these says by itself what an argument must be.
OF_ARGUMENTS = {"ValueError", "TypeError", "AttributeError"}


def pattern(template):
    """What a message matches whose gaps are filled in."""
    return ".*".join(re.escape(part) for part in template.split(FILLED_IN))


def test_messages_are_found_in_both_languages():
    assert len(MESSAGES) > 200
    folders = {message.source.partition("/")[0] for message in MESSAGES}
    assert folders == {"tf_mavg", "tf_mavg_cli", "tf_mavg_check", "bench", "cc"}


def averages_of(weight):
    averages = tf_mavg.ExponentialMovingAverage(0.5)
    averages.apply([weight])
    return averages


def update_while_swapped():
    weight = tf.Variable([1.0])
    averages = averages_of(weight)
    with averages.swapped():
        averages.apply([weight])


def swap_unlike_shapes():
    any_shape = tf.Variable(1.0, shape=tf.TensorShape(None))
    tf_mavg.ops.swap_variables([any_shape], [tf.Variable([1.0, 2.0])])


def name_a_variable_twice():
    weight = tf.Variable([1.0])
    averages_of(weight).apply([weight, weight])


# Messages are made in several ways: what fails, and where its message is.
FAILURES = {
    "tf_mavg/_averages/swap/exchange.py": lambda: tf_mavg.ExponentialMovingAverage(0.5).swap(),
    "tf_mavg/_tensorflow/exponential.py": name_a_variable_twice,
    "tf_mavg/_averages/dtypes.py": lambda: averages_of_dtype("int8"),
    "tf_mavg/decays.py": tf_mavg.decays.PowerFunction,
    "tf_mavg/_files/formats.py": lambda: tf_mavg.merge_checkpoints(["nowhere", "there"], "out"),
    "cc/kernels/variables/variable_lists.cc": swap_unlike_shapes,
}


def averages_of_dtype(dtype):
    return tf_mavg.ExponentialMovingAverage(0.5, average_dtype=dtype)


@pytest.mark.parametrize("source", FAILURES)
def test_what_is_raised_is_one_of_them(source):
    with pytest.raises((RuntimeError, ValueError, TypeError, OSError, tf.errors.OpError)) as found:
        FAILURES[source]()
    sources = {one.source for one in MESSAGES if re.search(pattern(one.text), str(found.value))}
    assert source in sources


def test_a_refusal_while_swapped_is_one_of_them():
    with pytest.raises(RuntimeError) as found:
        update_while_swapped()
    templates = [one.text for one in MESSAGES if one.text.startswith("Averages cannot be updated")]
    assert templates
    assert all(re.fullmatch(pattern(one), str(found.value)) for one in templates)


@pytest.mark.parametrize("quote", QUOTES)
def test_the_guide_quotes_what_the_sources_say(quote):
    assert any(re.match(pattern(quote), one.text) for one in MESSAGES)


def test_the_guide_explains_every_message_that_is_not_about_an_argument():
    unexplained = [
        one.text
        for one in MESSAGES
        if one.source.startswith(("tf_mavg/", "tf_mavg_cli/"))
        and one.error not in OF_ARGUMENTS
        and not any(re.match(pattern(quote), one.text) for quote in QUOTES)
    ]
    assert unexplained == []
