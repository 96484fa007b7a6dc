"""The end of sessions: what ends when, how users are warned, and the units that see to it without Salt."""
