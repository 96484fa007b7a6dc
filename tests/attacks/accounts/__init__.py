"""Accounts and groups"""
