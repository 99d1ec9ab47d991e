"""What `import lossheads` offers: heads as criteria, metrics of anybody's predictions, runs, claims.

Everything here is imported when it is first asked for, see `lossheads.__init__`.
"""
