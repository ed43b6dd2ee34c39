"""The OpenAPI document is what the service does: drawn requests, right and wrong ones, never meet an error of ours."""

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serve_cases import asked, drawn_home

EXAMPLES = 10
NOTHING_TO_GET_WRONG = ("/healthz", "/metrics", "/models")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_drawn_requests_meet_no_error_of_ours(tmp_path: Path, mode: GenerationMode) -> None:
    drawn_home(tmp_path)
    with asked(tmp_path) as client:
        schema = schemathesis.openapi.from_asgi("/openapi.json", client.app, headers={"Host": "localhost"})
        statuses: set[int] = set()
        for operation in (found.ok() for found in schema.get_all_operations()):
            if operation.path == "/readyz":  # no forecast is fresh here, which is a 503
                continue
            if mode is GenerationMode.NEGATIVE and operation.path in NOTHING_TO_GET_WRONG:
                continue

            @seed(7)
            @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
                      suppress_health_check=list(HealthCheck))  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def answered(case: schemathesis.Case) -> None:
                response = case.call(base_url="http://127.0.0.1:8000")
                statuses.add(response.status_code)
                checks = [
                    *(not_a_server_error, content_type_conformance),
                    *(status_code_conformance, response_schema_conformance),
                ]
                case.validate_response(response, checks=checks)

            answered()
    assert statuses >= ({200} if mode is GenerationMode.POSITIVE else {422})
