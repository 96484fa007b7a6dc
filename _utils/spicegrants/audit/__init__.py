"""Answers for people: who may, why, who was refused, and whether all of it holds."""
