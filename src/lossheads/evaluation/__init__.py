"""Somebody's own predictions: read from a file, measured with intervals, compared in pairs.

`files` reads arrays and trusts nothing, `meaning` asks what the numbers are, `sampling` says how
metrics vary over examples, `sections` answers what people ask of one model, `paired` of two.
"""
