"""A Debian that really boots, beside whatever else loads or takes away rules."""
