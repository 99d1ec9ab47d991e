"""A study: how do the heads for several labels compare on data?

Question: among losses for any subset of labels (`AnyOf`) and for groups of classes (`EachOneOf`),
which differences are in what a head learns, which in where it puts its threshold or how confident
it is, and what does a step cost?

Method: every head of a comparison trains on the same drawn data, from the same initial weights and
with the same batch order, twenty seeds each; tables show test means with 95 % intervals and paired
differences. Settings are the files of the same name in configs/experiment.

Command: `python -m benchmarks.several_labels`, about twelve minutes on two idle cores.

Tables: docs/several-labels.md and docs/open-question.md (sections between begin and end marks).

`parts` lists what is compared, `running` trains it through the engine, `tables` turns results into
Markdown, `steps` times losses, `sections` makes the text of each marked section, `pages` fills it
in, `cli` is the command line.
"""
