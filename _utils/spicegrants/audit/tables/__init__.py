"""Answers as text for people: tables, sentences and bars that fit a width. Data in, lines out."""
