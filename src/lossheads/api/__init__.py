"""What `import lossheads` offers: criteria, metrics of any predictions, runs, claims.

Everything here is imported when it is first asked for, see `lossheads.__init__`.
"""
