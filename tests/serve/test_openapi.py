"""The service against its own OpenAPI description, with requests that schemathesis makes up."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from devise.serve.own_labels import OwnLabels  # noqa: E402
from devise.serve.service import Service  # noqa: E402

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.fixture(scope="module")
def asked(running, model, photo_index):
    """A service that made-up requests may fill with labels."""
    with running(Service(model, OwnLabels(None, 50), {"three": photo_index})) as found:
        yield found


@pytest.fixture(scope="module")
def described(asked):
    with asked.http() as http:
        schema = http.get("/openapi.json").json()
    return schemathesis.openapi.from_dict(schema)


OPERATIONS = (
    "POST /v1/label",
    "POST /v1/embed",
    "GET /v1/labels",
    "PUT /v1/labels",
    "DELETE /v1/labels",
    "GET /v1/search",
    "GET /v1/photos",
    "GET /v1/photos/{photo}",
    "GET /v1/options",
    "PUT /v1/corrections",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
)


@pytest.mark.parametrize("examples", [3, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
def test_no_request_breaks_it(described, asked, operation: str, mode: GenerationMode, examples: int):
    method, path = operation.split()

    @given(data=st.data())
    @settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def ask(data: st.DataObject) -> None:
        case = data.draw(described[path][method].as_strategy(generation_mode=mode))
        case.call_and_validate(base_url=asked.url, checks=CHECKS, timeout=60)

    try:
        ask()
    except Unsatisfiable:
        assert mode == GenerationMode.NEGATIVE, (
            "every call has valid requests"
        )  # nothing can be wrong about GET /healthz


def test_it_describes_every_call_with_examples(served):
    with served.http() as http:
        found = http.get("/openapi.json").json()
    assert set(found["paths"]) == {
        "/v1/label",
        "/v1/embed",
        "/v1/labels",
        "/v1/map",
        "/v1/search",
        "/v1/photos",
        "/v1/photos/{photo}",
        "/v1/options",
        "/v1/corrections",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    told = json.dumps(found)
    assert "snow leopard" in told
    assert "kick scooter; zedonk: offspring of a zebra and a donkey" in told
    label = found["paths"]["/v1/label"]["post"]
    assert set(label["requestBody"]["content"]) == {"multipart/form-data", "application/octet-stream"}
    assert {"413", "422", "429", "503"} <= set(label["responses"])
