"""The experiment: which servers meet in which cells, how windows become figures, and how the result is written down.

Python's standard library only. The tools that send load and stand for the floor are in ../src.
"""
