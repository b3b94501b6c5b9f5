"""Campaigns that inject faults into the whole product for minutes, and their checker.

`python -m chaos` runs one; `python -m chaos.check FILE` checks its history again. The checker
(history, model, rules, times) shares no code with the product.
"""
