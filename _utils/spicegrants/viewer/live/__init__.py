"""The opener that sudo starts, what it needs of a user's desktop, and what of the viewer lies on disk."""
