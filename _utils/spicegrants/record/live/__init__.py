"""The record's files, and systemd's journal."""
