"""A person's own feeds of papers: kept, searched, ranked and mailed.

Feeds (arXiv, RSS and Atom, a hub's daily papers, BibTeX, RIS, CSV) are read into one database,
SQLite or PostgreSQL; `search` and `trending` answer from it, saved papers and tags train a ranking
for each reader, and a mail a day brings what is new. Needs the extra ``digest``.
"""
