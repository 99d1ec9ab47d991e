"""What benchmarks/several_labels.py is made of: parts, their training, their tables, the pages.

`parts` says what is compared, `running` trains it through the engine, `tables` turns results into
Markdown, `steps` times losses, `sections` puts each page's text together, `pages` fills it in.
"""
