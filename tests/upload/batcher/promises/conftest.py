"""Fixtures: a sandbox without sockets."""

from __future__ import annotations

import pytest

from calls_async import Campaign
from calls_async.sandbox.model.account import DuplicateRule
from calls_async.testing import InProcessSandbox
from tests.helpers.servers import QUICK


@pytest.fixture
def sandbox() -> InProcessSandbox:
    return InProcessSandbox(duplicates=DuplicateRule.OFF)


@pytest.fixture
def campaign(sandbox: InProcessSandbox) -> Campaign:
    return sandbox.client(upload_retry=QUICK).campaign(sandbox.token)
