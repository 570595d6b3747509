"""A tf_mavg of nothing but the compiled module _native: a build without TensorFlow has no more."""
