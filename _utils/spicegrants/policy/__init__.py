"""Policy: pillar, loans and locks compiled into the desired state, that is, who may open which console, and when.

The parser, the model, loans and locks, the compiler, and the state file that keeps it all between runs.
"""
