"""Questions to sudo, its tools, and PAM."""
