"""Pages for people: the report of a search, the list of what has run. Pure rendering, no scripts."""
