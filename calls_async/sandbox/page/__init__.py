"""The page at `/`: what happens in the sandbox, live, and its switches.

`view` tells what there is to show, `templates` how it looks; `switches` change things; `routes` answers requests.
htmx fetches the parts that change once a second, and idiomorph changes only what differs, so that the focus stays
where it is.
"""

from calls_async.sandbox.page.routes import add_page

__all__ = ["add_page"]
