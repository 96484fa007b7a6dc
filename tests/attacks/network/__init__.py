"""Over the network"""
