"""The message in which a checkpoint tells of its objects."""

import tensorflow as tf

from tf_mavg._compat.object_graph import object_graph


def test_object_graph(tmp_path):
    path = tf.train.Checkpoint(w=tf.Variable(1.0, name="weight")).write(str(tmp_path / "x"))
    graph = object_graph(tf.train.load_variable(path, "_CHECKPOINTABLE_OBJECT_GRAPH"))
    (child,) = (one for one in graph.nodes[0].children if one.local_name == "w")
    (attribute,) = graph.nodes[child.node_id].attributes
    assert attribute.checkpoint_key == "w/.ATTRIBUTES/VARIABLE_VALUE"
    assert attribute.full_name == "weight"
    assert list(graph.nodes[0].slot_variables) == []
    assert object_graph(graph.SerializeToString()) == graph
