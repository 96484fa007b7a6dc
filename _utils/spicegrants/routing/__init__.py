"""The routing layer: policy routing rules that a flush of netfilter does not take away."""
