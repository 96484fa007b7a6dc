"""From pillar to the desired state: who may open which console, and when.

The parser, the model, loans and locks, the compiler, and the state file that keeps it all between runs.
"""
