"""The opener that sudo starts, its view of the user's desktop, and the viewer's files on disk."""
