"""The call of sudo"""
