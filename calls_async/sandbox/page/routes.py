"""The page's requests: parts of it to read, and switches. A change answers with nothing, for the page fetches what is
new; with the sandbox's summary where it came as JSON, from a program; and with the page where it came as a form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from aiohttp import web

from calls_async.sandbox.faults import FaultKind
from calls_async.sandbox.model.behaviour import PATTERNS
from calls_async.sandbox.model.campaign import ANY
from calls_async.sandbox.page import view
from calls_async.sandbox.page.switches import Fields, Switches

if TYPE_CHECKING:
    import jinja2
    from multidict import MultiMapping

    from calls_async.sandbox.core import SandboxCore

    Query = MultiMapping[str]


_SPEEDS = (0, 1, 60, 600, 3600)
_STEPS = {"1 minute": 60, "1 hour": 3600, "1 day": 86_400}
_FEW_CAMPAIGNS = 5
"""More are chosen from a list."""
_MAX_IDS = view.SHOWN_JOBS
"""So many jobs may be shown in full at once."""
_MAX_HELD = view.SHOWN_JOBS + 2 * _MAX_IDS
_FORMATTING = re.compile(r"[\s()+./-]")
"""What people write into a number."""
_STATIC_TYPES = {
    "htmx.min.js": "text/javascript",
    "idiomorph-ext.min.js": "text/javascript",
    "page.js": "text/javascript",
    "page.css": "text/css",
    "LICENSES.txt": "text/plain",
}
_HEADERS = {
    # Whatever a client sends, nothing of it runs here; and no other page frames this one to have its buttons clicked.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def add_page(app: web.Application, sandbox: SandboxCore) -> None:
    """Add the page to a sandbox's server."""
    page, switches = Page(sandbox), Switches(sandbox)
    app.router.add_get("/", page.whole)
    app.router.add_get("/sandbox/overview", page.part("overview"))
    app.router.add_get("/sandbox/jobs", page.part("jobs"))
    app.router.add_get("/sandbox/requests", page.part("requests"))
    app.router.add_get("/sandbox/faults", page.part("faults"))
    app.router.add_get("/sandbox/summary", page.summary)
    app.router.add_get("/sandbox/contacts", page.contacts)
    app.router.add_get("/sandbox/log", page.log)
    app.router.add_get("/sandbox/static/{name}", _static)
    app.router.add_post("/sandbox/clock", page.change(switches.set_clock))
    app.router.add_post("/sandbox/campaigns", page.change(switches.set_up))
    app.router.add_post("/sandbox/control", page.change(switches.control))
    app.router.add_post("/sandbox/faults", page.change(switches.set_faults))
    app.router.add_post("/sandbox/faults/next", page.change(switches.fail_next))


class Page:
    """The page of one sandbox."""

    def __init__(self, sandbox: SandboxCore) -> None:
        self._sandbox = sandbox

    @cached_property
    def _templates(self) -> jinja2.Environment:
        import jinja2  # 35 ms, which only who looks at the page shall wait for

        templates = jinja2.Environment(
            loader=jinja2.PackageLoader("calls_async.sandbox.page"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.globals.update(
            {
                "moment": view.moment,
                "shares": view.shares,
                "ANY": ANY,
                "few_campaigns": _FEW_CAMPAIGNS,
                "kinds": list(FaultKind),
                "most_shown": view.SHOWN_JOBS,
                "most_searched": view.SEARCHED_JOBS,
                "patterns": PATTERNS,
                "speeds": _SPEEDS,
                "statuses": view.STATUSES,
                "steps": _STEPS,
            }
        )
        return templates

    # --- reading ---

    async def whole(self, request: web.Request) -> web.Response:
        return self._render("page", request)

    def part(self, name: str) -> Callable[[web.Request], Any]:
        """Make a handler that answers with one part of the page."""

        async def answer(request: web.Request) -> web.Response:
            return self._render(name, request)

        return answer

    async def summary(self, _: web.Request) -> web.Response:
        self._sandbox.account.catch_up()
        return self._json()

    async def contacts(self, request: web.Request) -> web.Response:
        self._sandbox.account.catch_up()
        try:
            campaign = Switches(self._sandbox).campaign(request.query)
        except ValueError as error:
            return _wrong(404, str(error), as_json=True)
        return web.json_response(view.contacts(campaign), headers=_HEADERS)

    async def log(self, _: web.Request) -> web.Response:
        return web.json_response(view.log(self._sandbox.requests), headers=_HEADERS)

    def _json(self) -> web.Response:
        sandbox = self._sandbox
        told = view.summary(sandbox.account, sandbox.requests, sandbox.faults, speed=sandbox.clock.speed)
        return web.json_response(told, headers=_HEADERS)

    def _render(self, name: str, request: web.Request) -> web.Response:
        self._sandbox.account.catch_up()
        text = self._templates.get_template(f"{name}.html").render(self._context(name, request.query))
        # What clients send may hold halves of characters.
        body = text.encode("utf-8", "replace")
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=_HEADERS)

    def _context(self, part: str, query: Query) -> dict[str, Any]:
        """Return what the template of a part needs; that of the page needs all."""
        contexts = {"jobs": self._jobs, "requests": self._requests}
        wanted = contexts.values() if part == "page" else [contexts[part]] if part in contexts else []
        found = {
            "sandbox": self._sandbox,
            "log": self._sandbox.requests,
            "faults": self._sandbox.faults,
            "conflicts": self._sandbox.key_conflicts,
            "campaigns": list(self._sandbox.account.campaigns.values()),
        }
        for context in wanted:
            found |= context(query)
        return found

    def _jobs(self, query: Query) -> dict[str, Any]:
        campaigns = self._sandbox.account.campaigns
        campaign = campaigns.get(query.get("campaign", "")) or next(iter(campaigns.values()))
        status = query.get("status", ANY)
        wanted = view.JobFilter(
            status=status if status in view.STATUSES else ANY,
            digits=_FORMATTING.sub("", query.get("phone", "")),
            held=query.getall("held", [])[:_MAX_HELD],
        )
        shown, opened = (query.getall(name, [])[:_MAX_IDS] for name in ("shown", "opened"))
        return {
            "campaign": campaign,
            "wanted": wanted,
            "total": campaign.counts[wanted.status] if wanted.status else len(campaign.jobs),
            "jobs": view.jobs(campaign, wanted, shown=shown, opened=opened),
        }

    def _requests(self, query: Query) -> dict[str, Any]:
        some = view.RequestFilter(key=query.get("key", "").strip(), only_troubles="only_troubles" in query)
        return {"some": some, "entries": view.requests(self._sandbox.requests, some)}

    # --- changes ---

    def change(self, act: Callable[[Fields], None]) -> Callable[[web.Request], Any]:
        """Make a handler that changes something; ValueError says what cannot be."""

        async def answer(request: web.Request) -> web.Response:
            as_json = request.content_type == "application/json"
            try:
                fields = await _json_fields(request) if as_json else await _form_fields(request)
                self._sandbox.account.catch_up()
                act(fields)
                self._sandbox.account.catch_up()
            except ValueError as error:
                return _wrong(400, str(error), as_json=as_json)
            if not self._sandbox.save(clock_too=True):
                return _wrong(503, "the state cannot be written", as_json=as_json)
            if as_json:
                return self._json()
            if "HX-Request" in request.headers:
                return web.Response(status=204, headers={**_HEADERS, "HX-Trigger": "changed"})
            return web.Response(status=303, headers={**_HEADERS, "Location": "/"})

        return answer


def _wrong(status: int, text: str, *, as_json: bool) -> web.Response:
    if as_json:
        return web.json_response({"error": text}, status=status, headers=_HEADERS)
    body = text.encode("utf-8", "replace")
    return web.Response(status=status, body=body, content_type="text/plain", headers=_HEADERS)


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in _STATIC_TYPES:
        raise web.HTTPNotFound
    body = files("calls_async.sandbox.page").joinpath("static", name).read_bytes()
    headers = {**_HEADERS, "Cache-Control": "no-cache"}
    return web.Response(body=body, content_type=_STATIC_TYPES[name], charset="utf-8", headers=headers)


async def _form_fields(request: web.Request) -> Fields:
    try:
        return await request.post()
    except web.HTTPException:
        raise
    except Exception:  # noqa: BLE001  # whatever a parser says of what is no form
        raise ValueError("the form cannot be read") from None


async def _json_fields(request: web.Request) -> Fields:
    try:
        fields = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    if not isinstance(fields, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004  # told to whoever sent it
    return fields
