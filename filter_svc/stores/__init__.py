"""Where admitted architectures are kept: in memory, in a file, in a Redis that filters share."""
