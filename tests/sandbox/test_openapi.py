"""The description of the API: the sandbox keeps to it, the client's own table agrees, and it names its clauses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from calls_async.protocol import endpoints
from calls_async.protocol.contact import FIELDS
from calls_async.protocol.reports import (
    AttemptReport,
    CampaignInfo,
    CampaignStatus,
    JobReport,
    JobStatus,
    ShortReport,
    field_names,
)
from calls_async.sandbox.core import read_description
from calls_async.sandbox.model.behaviour import Behaviour
from calls_async.testing import SandboxThread
from tests.helpers.clauses import KNOWN

DOCUMENT: dict[str, Any] = json.loads(read_description())
SCHEMAS = DOCUMENT["components"]["schemas"]


@pytest.fixture(scope="module")
def running() -> Iterator[SandboxThread]:
    with SandboxThread(behaviour=Behaviour()) as sandbox:
        yield sandbox


OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"]
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.mark.proof
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_sandbox_does_what_it_says(path: str, method: str, running: SandboxThread) -> None:
    api = schemathesis.openapi.from_url(f"{running.url}/openapi.json")
    seen = set()

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=api[path][method].as_strategy())
    def check(case: Any) -> None:
        case.path_parameters["token"] = running.token
        response = case.call()
        assert response.status_code < 500
        case.validate_response(response, checks=CHECKS)
        seen.add(response.status_code)

    check()
    assert 200 in seen


@pytest.mark.proof
@pytest.mark.timeout(120)
def test_a_client_that_a_generator_made(running: SandboxThread, tmp_path: Path) -> None:
    generator = Path(sys.executable).with_name("openapi-python-client")
    if not generator.exists():
        pytest.skip("the generator openapi-python-client is not installed")
    (tmp_path / "openapi.json").write_bytes(read_description())
    command = [str(generator), "generate", "--path", "openapi.json", "--meta", "none"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    program = f'''
from calls_api_client import Client
from calls_api_client.api.adding import add_phones
from calls_api_client.models import Contact

client = Client(base_url="{running.url}")
contact = Contact(phone="16500009900", gmt_zone="-05:00")
for _ in range(2):
    (job_id,) = add_phones.sync("{running.token}", client=client, body=[contact], idempotence_key="generated")
print(job_id)
'''
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (job,) = (job for job in running.jobs if job.phone == "16500009900")
    assert done.stdout.strip() == job.id
    assert job.settings == {"gmtZone": "-05:00"}


def test_it_is_served_as_it_is_shipped(running: SandboxThread) -> None:
    with urllib.request.urlopen(f"{running.url}/openapi.json") as response:
        assert response.read() == read_description()
        assert response.headers["Content-Type"] == "application/json"
    assert DOCUMENT["openapi"].startswith("3.1")


def test_the_clients_own_table_agrees() -> None:
    """Every request that the client can build is described, and nothing else but the older path (C-M-13)."""
    key = "key"
    built = [
        endpoints.add_phones("t", b"[]", key),
        endpoints.add_phone("t", "16500000000", gmt_zone=None, payload=None, key=key, method="GET"),
        endpoints.add_phone("t", "16500000000", gmt_zone=None, payload=None, key=key, method="POST"),
        endpoints.add_phone("t", "16500000000", gmt_zone=None, payload=None, key=key, method="GET", test=True),
        endpoints.cancel("t", ["1"], [], key),
        endpoints.job_report("t", ["1"], [], key),
        endpoints.attempt_report("t", ["1"], [], key),
        endpoints.info("t"),
        endpoints.status("t"),
        *(endpoints.control("t", verb, key) for verb in ("pause", "resume", "stop")),
    ]
    described = {
        (method.upper(), path)
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == {(one.method.value, one.path) for one in built} | {
        ("GET", "/api/calls/campaign/{token}/addPhone")
    }
    for one in built:
        operation = DOCUMENT["paths"][one.path][one.method.lower()]
        names = {parameter["$ref"].rpartition("/")[2] for parameter in operation["parameters"]}
        if one.method is endpoints.Method.POST:
            assert "KeyHeader" in names  # C-IDEM-3
        elif one.idempotence_key is not None:
            assert "KeyQuery" in names  # C-IDEM-4
        assert ("requestBody" in operation) == (one.body is not None)
    assert DOCUMENT["components"]["parameters"]["KeyHeader"]["name"] == endpoints.KEY_NAME
    assert {server["url"] for server in DOCUMENT["servers"][1:]} == set(endpoints.HOSTS.values())


def test_the_fields_are_the_clients() -> None:
    assert SCHEMAS["Contact"]["properties"].keys() == FIELDS.keys()
    attempt = set(SCHEMAS["CallReport"]["properties"])
    assert attempt == set(field_names(AttemptReport))
    assert attempt | set(SCHEMAS["JobReport"]["allOf"][1]["properties"]) == set(field_names(JobReport))
    assert set(SCHEMAS["Campaign"]["properties"]) == set(field_names(CampaignInfo))
    assert set(SCHEMAS["ShortReport"]["properties"]) == set(field_names(ShortReport))
    assert set(SCHEMAS["JobStatus"]["examples"]) == {status.value for status in JobStatus}
    assert set(SCHEMAS["CampaignStatus"]["examples"]) == {status.value for status in CampaignStatus}


def test_every_clause_that_it_names_exists() -> None:
    named = set(re.findall(r"C-[A-Z]+-\d+", read_description().decode()))
    assert len(named) > 40
    assert named <= KNOWN
