"""The clock's program, and messages on users' desktops."""
