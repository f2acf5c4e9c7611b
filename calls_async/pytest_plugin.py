"""Fixtures for the tests of programs that use this package. pytest finds them by itself; nothing happens to tests
that do not ask for one.

- `calls_sandbox`: a running sandbox on a free port, for tests of any kind.
- `calls_in_process`: a sandbox without sockets; `calls_in_process.client()` is a client of it.

`@pytest.mark.calls_sandbox(duplicates="error", ...)` gives either of them settings of `Sandbox`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from calls_async.testing import InProcessSandbox, SandboxThread


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "calls_sandbox(**settings): settings of the sandbox that the fixtures give")


@pytest.fixture
def calls_sandbox(request: pytest.FixtureRequest) -> Iterator[SandboxThread]:
    """Run a sandbox: `.url .token`, `.contacts .jobs .calls`, `.fail_next(...)`, `.advance(hours=...)`."""
    from calls_async.testing import SandboxThread

    with SandboxThread(**_settings(request)) as sandbox:
        yield sandbox


@pytest.fixture
def calls_in_process(request: pytest.FixtureRequest) -> InProcessSandbox:
    """Make a sandbox without sockets: as `calls_sandbox`, with `.client()` in place of `.url`."""
    from calls_async.testing import InProcessSandbox

    return InProcessSandbox(**_settings(request))


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("calls_sandbox")
    settings = dict(marker.kwargs) if marker is not None else {}
    if marker is not None and marker.args:
        raise pytest.UsageError(
            'calls_sandbox takes settings by their names, such as calls_sandbox(duplicates="off")'
        )
    if "duplicates" in settings:
        from calls_async.sandbox.model.account import DuplicateRule

        settings["duplicates"] = DuplicateRule(settings["duplicates"])
    return settings
