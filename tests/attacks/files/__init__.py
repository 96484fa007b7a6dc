"""Files that root writes"""
