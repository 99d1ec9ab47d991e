"""The commands, by name; each lies in a module of its own with a function `command`."""

COMMANDS = ("train", "claim", "heads", "metrics", "board", "report")
