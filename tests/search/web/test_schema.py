"""The REST interface keeps what its document promises, whatever it is asked: no fault, no undeclared answer."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from search.web.app import create_app
from search.web.guard import Guard
from search.web.service import Service

# Examples a route and kind: some hundred requests in all. DESCRY_EXAMPLES=60 makes it thousands.
EXAMPLES = int(os.environ.get("DESCRY_EXAMPLES", "6"))

# Seconds that an answer may take on a machine that does much else.
PATIENCE = 300


def test_every_answer_is_as_the_document_says(service: Service) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install .[dev]")
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    app = Guard(create_app(service), hosts=["testserver"])
    document = schemathesis.openapi.from_asgi("/openapi.json", app)
    statuses: Counter[int] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def asked(case: Any) -> None:
        response = case.call(timeout=PATIENCE)
        statuses[response.status_code] += 1
        # what a filter's value or an order may be, the document says in words alone: they are refused by a 400
        case.validate_response(response, excluded_checks=[positive_data_acceptance])

    operations = [found.ok() for found in document.get_all_operations()]
    for operation in operations:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            with suppress(Unsatisfiable):  # nothing can be wrong with a request that has no parameters
                given(case=operation.as_strategy(generation_mode=mode))(asked)()
    assert len(operations) >= 20
    assert statuses[200] > 0
    assert not [status for status in statuses if status >= 500 and status != 503]
