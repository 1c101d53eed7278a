"""Pages of runs: an index that compares them, and a page for each.

Jinja2, Altair, vl-convert and itables are imported when a site is built.
"""
