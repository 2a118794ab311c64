"""The site: static pages on all results, in `data/site/`, that open without a server."""
