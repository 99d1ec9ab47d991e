"""Tables, figures and overview runs, made from run folders alone; nothing here imports torch."""

# Where the runs of a puzzle page lie below the outputs, and the one tag they share.
OVERVIEWS = "_overview"
PUZZLE_TAG = "puzzle/score"

# The two accuracies that are mistaken for each other; pictures of the puzzle show these.
PUZZLE_METRICS = ("accuracy_score", "elementwise_accuracy_score")
