"""Tables, figures and overview runs, made from run folders alone; nothing here imports torch."""

# Where the pages of overviews lie below the outputs, and the one picture of each.
OVERVIEWS = "_overview"
OVERVIEW_PICTURE = "overview.png"

# The two accuracies that are mistaken for each other; pictures of the puzzle show these.
PUZZLE_METRICS = ("accuracy_score", "elementwise_accuracy_score")
