"""Time: instants, intervals, weekly schedules and time zones.

Pure, except for the zones, which are read from the system's own data.
"""
