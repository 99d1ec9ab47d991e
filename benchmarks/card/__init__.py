"""Everything that a CUDA card can say about this project, in minutes: see docs/card.md.

benchmarks/card.sh                        on a card
LOSSHEADS_CARD=cpu benchmarks/card.sh     tiny sizes on the CPU, whose numbers mean nothing
"""
