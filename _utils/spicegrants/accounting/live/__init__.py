"""The recorder, which sees connections come and go, and the layer that installs it."""
