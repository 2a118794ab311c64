"""All articles of a feed that gives them a page at a time."""

import json
import time
import urllib.parse
import urllib.request


def fetch_page(host: str, cursor: str, size: int, timeout: float) -> dict:
    """A page {items: [...], next: cursor or None}; OSError when the feed does not answer, ValueError for no JSON."""
    query = urllib.parse.urlencode({"cursor": cursor, "size": size})
    with urllib.request.urlopen(f"https://{host}/articles?{query}", timeout=timeout) as response:
        return json.load(response)


def paginate_api(
    host: str,
    since: str = "",
    start: str = "",
    limit: int = 40,
    page_size: int = 50,
    max_errors: int = 2,
    timeout: float = 5.0,
) -> dict:
    """Articles {id, date, title} published on `since` (YYYY-MM-DD) or later, at most `limit`, each of them once.

    Returns {articles, pages, complete, cursor}: after `max_errors` failures in a row it ends with what it has, and
    `start` goes on at that cursor. Raises RuntimeError when the feed leads back to a page that has been read.
    """
    articles = []
    seen = set()
    cursors = {start}
    cursor = start
    pages = 0
    errors = 0
    complete = False
    while len(articles) < limit and not complete:
        try:
            page = fetch_page(host, cursor, size=min(page_size, limit), timeout=timeout)
        except (OSError, ValueError):
            errors += 1
            if errors >= max_errors:
                break
            time.sleep(2 * errors)
            continue
        pages += 1
        errors = 0
        for item in page["items"]:
            # pages shift while they are read, so that an article can be on two of them
            if item["id"] not in seen and item["date"] >= since:
                seen.add(item["id"])
                articles.append({"id": item["id"], "date": item["date"], "title": " ".join(item["title"].split())})
        cursor = page.get("next") or ""
        complete = not cursor
        if cursor in cursors and not complete:
            raise RuntimeError(f"{host}: page {cursor!r} comes after itself")
        cursors.add(cursor)
    return {"articles": articles[:limit], "pages": pages, "complete": complete, "cursor": cursor}
