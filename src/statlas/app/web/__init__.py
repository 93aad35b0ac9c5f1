"""The workbench: find, run and trust in a browser.

Everything it shows is made from the catalogue, the recipes' signatures, the results and the
ledger, so a new paper appears here without a line of code of its own. Pages are rendered by the
server; a little plain JavaScript adds what a page cannot do alone.

=============  ==================================================================================
`settings`     where it listens, what it admits, where it keeps its data
`store`        uploads and runs in SQLite, in the user's data folder
`sandbox`      a function call in a process of its own, with limits of time and memory
`jobs`         what runs there: preview of a table, check of a form, a whole run
`runner`       the queue of runs
`security`     host, token, origin, sizes and headers of every request
`views`        what pages and JSON show, as plain data
`pages`        the HTML pages
`api`          the same as JSON, and all that changes state
`digest`       the pages of the papers of one's own feeds
`accounts`     signing in and out, a new password, a reader's settings
`visitors`     who sees which page of the digest, and whose papers are kept there
`rates`        how often one visitor may try
=============  ==================================================================================
"""
