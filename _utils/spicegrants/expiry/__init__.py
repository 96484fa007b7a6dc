"""The end of sessions: deadlines, warnings to users, and the units that enforce them without Salt."""
