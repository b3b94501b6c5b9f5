"""Campaigns that hurt the whole product for minutes, and the checker that says what it cost.

`python -m chaos` runs one; `python -m chaos.check FILE` checks its history again. What judges
(history, model, rules, times) shares no code with the product.
"""
