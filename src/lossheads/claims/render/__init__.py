"""Views of a verdict: Markdown, HTML, pictures."""
