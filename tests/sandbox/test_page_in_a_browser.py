"""The sandbox's page in headless Chromium, driven as people drive it."""

from __future__ import annotations

import os
import shutil
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from calls_async.sandbox.model.behaviour import Behaviour
from calls_async.sandbox.model.clock import Clock
from calls_async.testing import SandboxThread
from tests.helpers.browser import Driven, sync_api

Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe


CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
HOSTILE = "<img src=x onerror=window.hacked=1>"


pytestmark = [
    pytest.mark.proof,
    pytest.mark.timeout(120),
    pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no Chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def make(browser: Any) -> Iterator[Callable[..., Driven]]:
    """Opens pages of sandboxes; `scheme` is light or dark."""
    opened: list[Any] = []

    def one(*, scheme: str = "light", width: int = 1300, **settings: Any) -> Driven:
        sandbox = SandboxThread(**{"behaviour": Behaviour(), "clock": Clock(speed=0), **settings}).__enter__()
        page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
        opened.append((sandbox, page))
        driven = Driven(sandbox, page)
        driven.open()
        return driven

    yield one
    for sandbox, page in opened:
        page.close()
        sandbox.__exit__(None, None, None)


def test_jobs_move_before_your_eyes(make: Callable[..., Driven]) -> None:  # C-REP-5
    one = make()
    one.expect("#status-any + b, label:has(#status-any) b").to_have_text("0")
    answered, silent, _ = one.add(16500009900, 16500009901, 16500009902, key="k")
    one.expect(f"#job-{answered} .status").to_have_text("inProcess")
    one.sandbox.advance(hours=0.2)
    one.expect(f"#job-{answered} .status").to_have_text("longCallWithResult")
    one.expect(f"#job-{silent} .status").to_have_text("onRetry")
    one.page.get_by_label("onRetry").check()
    one.expect(f"#job-{answered}").to_have_count(0)
    one.expect(f"#job-{silent}").to_be_visible()
    one.refreshed("jobs")
    assert one.page.get_by_label("onRetry").is_checked()
    one.sandbox.advance(hours=5)
    one.expect(f"#job-{silent}").to_have_count(0)
    one.expect("#campaign-1 .status").to_have_text("finished")
    one.check()


def test_numbers_are_masked_until_clicked_and_stay_as_they_are_chosen(make: Callable[..., Driven]) -> None:
    one = make(behaviour=None)
    first, second = one.add(16501234567, 16507654321, key="k", payload={"name": HOSTILE})
    one.expect(f"#phone-{first}").to_have_text("•••••••4567")
    assert "1650" not in one.page.content()
    one.page.locator(f"#phone-{first}").click()
    one.expect(f"#phone-{first}").to_have_text("16501234567")
    one.page.locator(f"#more-{first}").click()
    one.expect(f"#details-{first}").to_contain_text(HOSTILE)
    one.add(*range(16509000000, 16509000100), key="many")
    one.expect("label:has(#status-any) b").to_have_text("102")
    one.refreshed("jobs")
    one.expect(f"#phone-{first}").to_have_text("16501234567")  # however many others came
    one.expect(f"#details-{first}").to_be_visible()
    one.expect(f"#job-{second}").to_be_visible()  # rows stay while somebody points at them
    one.page.mouse.move(0, 0)
    one.expect(f"#job-{second}").to_have_count(0)
    one.page.keyboard.press("Shift+Tab")
    one.expect(f"#phone-{first}").to_be_focused()
    one.expect(f"#details-{first}").to_be_visible()  # but what was opened stays longer
    one.page.locator(f"#phone-{first}").click()
    one.expect(f"#phone-{first}").to_have_text("•••••••4567")
    one.check()


def test_search_while_everything_moves(make: Callable[..., Driven]) -> None:
    one = make(clock=Clock(speed=600))
    ids = one.add(*range(16500000000, 16500000300), key="k")
    one.page.get_by_label("Phone").press_sequentially("0123", delay=300)
    one.expect(f"#job-{ids[123]}").to_be_visible()
    one.expect("#jobs tbody tr").to_have_count(1)
    one.refreshed("jobs")
    one.expect("#phone").to_have_value("0123")
    one.expect("#phone").to_be_focused()
    one.page.get_by_label("Key").press_sequentially("zz", delay=300)
    one.expect("#requests tbody tr").to_have_count(0)
    one.check()


def test_keys_that_call_people_twice_are_red(make: Callable[..., Driven]) -> None:  # C-IDEM-2, C-IDEM-8
    one = make()
    one.add(16500000001, key="the key")
    one.add(16500000001, key="the key")
    one.expect("#request-2 .repeat").to_have_text("repeats #1")
    one.expect("#warnings").to_have_count(0)
    one.add(16500000002, key="the key")
    one.expect("#request-3").to_have_class("red")
    one.expect("#warnings").to_contain_text("1 request with a key that had come with another content")
    one.expect("#warnings").to_contain_text("the key")
    one.add(16500000003)
    one.expect("#request-4 strong").to_have_text("no key")
    one.expect("#warnings").to_contain_text("1 request added contacts without a key")
    color = one.page.locator("#warnings").evaluate("element => getComputedStyle(element).color")
    assert color == "rgb(179, 18, 29)"
    one.picture("warnings")
    one.check()


def test_switches_by_keyboard_alone(make: Callable[..., Driven]) -> None:  # C-M-10, C-M-11, C-M-12
    one = make()
    one.add(*range(16500000000, 16500000030), key="k")

    def press(selector: str, key: str = "Enter") -> None:
        for _ in range(200):
            one.page.keyboard.press("Tab")
            if one.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                break
        one.expect(selector).to_be_focused()
        one.page.keyboard.press(key)

    press("[name=step_seconds][value='60']")
    press("#run-1")
    one.expect("#campaign-1 .status").to_have_text("paused")
    one.refreshed("overview")
    one.expect("#run-1").to_be_focused()  # although the page has changed around it
    one.expect("#run-1").to_have_text("Resume")
    one.page.keyboard.press("Enter")
    one.expect("#campaign-1 .status").to_have_text("inProcess")
    press("#new > summary")
    press("#new-form [name=name]", "B")
    press("#new-form [name=token]", "t")
    one.refreshed("overview")
    one.expect("#new-form [name=name]").to_have_value("B")
    one.page.keyboard.press("Enter")
    one.expect("#campaign-2 h2").to_have_text("B")
    one.expect("#new-form [name=name]").to_have_value("")
    one.page.keyboard.press("Shift+Tab")
    press("#share-503", "Control+a")
    one.page.keyboard.type("0.25")
    one.refreshed("jobs")
    one.expect("#share-503").to_have_value("0.25")  # what is typed stays
    with one.page.expect_response(lambda answer: answer.url.endswith("/sandbox/faults")):
        one.page.keyboard.press("Tab")
    assert one.summary()["faults"] == {"503": 0.25}
    one.expect("#next-503").to_be_focused()
    one.page.keyboard.press("Shift+Tab")
    one.page.keyboard.press("Control+a")
    one.page.keyboard.type("0")
    press("#next-503")
    one.expect("#next-503").to_have_text("the next one: 1 waiting")
    assert one.summary()["faults"] == {}
    with pytest.raises(urllib.error.HTTPError, match="503"):
        one.add(16500000999, key="k2")
    one.expect("#request-2").to_contain_text("503")
    one.check()


def test_stop_asks_first(make: Callable[..., Driven]) -> None:  # C-M-12
    one = make()
    one.add(*range(16500000000, 16500000030), key="k")
    for answer, status in [("dismiss", "inProcess"), ("accept", "finished")]:
        one.page.once("dialog", lambda dialog, answer=answer: getattr(dialog, answer)())
        one.page.locator("#stop-1").click()
        one.refreshed("overview")
        one.expect("#campaign-1 .status").to_have_text(status)
    assert one.summary()["campaigns"][0]["jobs_by_status"] == {"inProcess": 10, "notDone": 20}
    one.expect("#run-1").to_have_text("Start again")
    one.page.locator("#run-1").click()
    one.expect("#campaign-1 .status").to_have_text("inProcess")
    one.check()


def test_two_tabs_change_different_faults(make: Callable[..., Driven], browser: Any) -> None:
    one = make()
    other = browser.new_page()
    other.goto(one.sandbox.url)
    other.locator("#share-503").fill("0.4")
    other.keyboard.press("Tab")
    one.expect("#share-503").to_have_value("0.4")
    one.page.locator("#share-reset-after").fill("0.1")
    one.page.keyboard.press("Tab")
    sync_api.expect(other.locator("#share-reset-after")).to_have_value("0.1")
    assert one.summary()["faults"] == {"503": 0.4, "reset-after": 0.1}
    other.close()


def test_slow_answers_stop_nothing(make: Callable[..., Driven]) -> None:
    one = make(clock=Clock(speed=60))

    def late(route: Any) -> None:
        one.page.wait_for_timeout(1300)
        route.continue_()

    one.page.route("**/sandbox/overview", late)
    before = one.page.locator("#time").inner_text()
    one.expect("#time").not_to_have_text(before)
    one.check()


def test_speed_and_faults(make: Callable[..., Driven]) -> None:
    one = make()
    before = one.summary()["time_seconds"]
    one.page.get_by_role("button", name="1 day").click()
    one.expect("#bar").to_contain_text("standing still")
    one.refreshed("overview")
    assert one.summary()["time_seconds"] == before + 86_400
    one.page.get_by_role("button", name="3600×").click()
    one.expect("#bar").to_contain_text("3600× as fast")
    one.page.locator("#share-reset-after").fill("0.75")
    with one.page.expect_response(lambda answer: answer.url.endswith("/sandbox/faults")):
        one.page.keyboard.press("Tab")
    one.page.locator("#share-500-after").fill("0.75")
    one.page.keyboard.press("Tab")
    one.expect("#trouble").to_have_text("the shares of faults must be 0 or more, and together 1 at most")
    assert [error for error in one.errors if "400" not in error] == []


def test_a_stop_is_told_and_a_new_start_seen(make: Callable[..., Driven]) -> None:
    one = make()
    port = int(one.sandbox.url.rpartition(":")[2])
    one.sandbox.__exit__(None, None, None)
    one.expect("#trouble").to_have_text("The sandbox does not answer.")
    with SandboxThread(port=port, tokens=["again"]):
        one.expect("#trouble").to_be_hidden()
        one.expect("#campaign-1 code").to_have_text("again")
    assert one.page.evaluate("window.loaded") is True


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_everybody(make: Callable[..., Driven], scheme: str) -> None:
    one = make(scheme=scheme, clock=Clock(speed=60))
    one.sandbox.fail_next("503")
    with pytest.raises(urllib.error.HTTPError):
        one.add(16500000001, key="k")
    (job, *_) = one.add(*range(16500009800, 16500009906), key="k")
    one.add(16500000001, key="k")
    one.add(16500000002)
    one.sandbox.advance(hours=0.05)
    one.page.get_by_label("Phone").fill("9800")
    one.page.locator(f"#more-{job}").click()
    one.expect(f"#details-{job}").to_be_visible()
    one.page.get_by_label("Phone").fill("")
    one.page.locator("#new > summary").click()
    one.refreshed("jobs")
    found = Axe().run(one.page)
    assert found.violations_count == 0, found.generate_report()
    ground = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}[scheme]
    one.picture(scheme)
    one.check()


def test_many_campaigns(make: Callable[..., Driven]) -> None:
    one = make(tokens=[f"shop-{number}" for number in range(40)])
    (job,) = one.add(16500000001, key="k")
    one.expect(f"#job-{job}").to_be_visible()
    one.page.get_by_label("Campaign", exact=True).select_option("shop-39")
    one.expect(f"#job-{job}").to_have_count(0)
    one.refreshed("jobs")
    one.expect("#campaign-choice").to_have_value("shop-39")
    assert one.page.evaluate("document.getElementById('jobs').getBoundingClientRect().top") < 1000
    one.picture("many")
    one.check()


def test_it_fits_a_phone(make: Callable[..., Driven]) -> None:
    one = make(width=380)
    one.add(*range(16500000000, 16500000030), key="a-key-of-some-length-as-uuids-are-0123")
    one.expect("#jobs tbody tr").to_have_count(25)
    one.picture("narrow")
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 380


ATTACK = """
<!doctype html><title>elsewhere</title>
<iframe id="frame" src="{url}/"></iframe>
<img src="{url}/api/crmCalls/campaign/{token}/addPhone?phone=16500000001">
<form id="form" method="post" target="sink" action="{url}/sandbox/clock">
<input name="step_seconds" value="60"></form>
<iframe name="sink"></iframe>
<script>
const contacts = JSON.stringify([{{phone: 16500000002}}]);
const tries = [
  ["{url}/sandbox/clock", {{method: "POST", mode: "no-cors", body: new URLSearchParams({{step_seconds: 60}})}}],
  ["{url}/sandbox/clock", {{method: "POST", headers: {{"Content-Type": "application/json"}}, body: "{{}}"}}],
  ["{url}/api/calls/campaign/{token}/addPhones", {{method: "POST", mode: "no-cors", body: contacts}}],
  ["{url}/api/calls/campaign/{token}/control/stop", {{method: "POST", mode: "no-cors"}}],
  ["{url}/sandbox/summary", {{}}],
];
document.getElementById("form").submit();
Promise.allSettled(tries.map(([url, how]) => fetch(url, how).then((answer) => answer.text()))).then((all) => {{
  window.read = all.map((one) => one.value || "").join("");
  window.done = true;
}});
</script>
"""


def test_a_web_page_elsewhere_can_neither_drive_nor_read_it(make: Callable[..., Driven], browser: Any) -> None:
    one = make()
    before = one.summary()

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class's name
            body = ATTACK.format(url=one.sandbox.url, token=one.sandbox.token).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        page = browser.new_page()
        page.goto(f"http://localhost:{server.server_port}/")
        page.wait_for_function("window.done")
        assert page.evaluate("window.read") == ""
        page.wait_for_load_state("networkidle")
        assert page.frame_locator("#frame").locator("#time").count() == 0
        page.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert one.summary() == before
    assert one.sandbox.jobs == []
