"""What the service answers is what its OpenAPI schema says, whatever it is asked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.programs import clean_environ, started

from .conftest import TOKENS, bearer

HERE = Path(__file__).parent / "schema"
SERVE = f"from insession.service import serve; serve(port=0, tokens={TOKENS!r}, rate=None)"
RUN = (sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run")
SAME = ("--generation-deterministic", "--max-examples", "3", "--no-color")


@pytest.mark.processes
@pytest.mark.timeout(300)
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """All checks of schemathesis, on about 1,100 requests that are the same every time.

    More of them: ``--max-examples 100 --seed N`` in place of `SAME` asks about 3,600.
    """
    hooks = {"SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")}
    with started(sys.executable, "-W", "error", "-c", SERVE, cwd=tmp_path) as service:
        done = subprocess.run(
            (*RUN, f"{service.url}/v1/openapi.json", "-H", f"Authorization: {bearer()}", *SAME),
            cwd=tmp_path,
            env=clean_environ(hooks | {"SERVICE_URL": service.url, "SERVICE_AUTHORIZATION": bearer()}),
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        found = re.search(r"Test cases:\n\s+(\d+) generated, (\d+) passed", done.stdout)
        assert found is not None, done.stdout
        assert found[1] == found[2]
        assert int(found[1]) > 900
        code, errors = service.stop()
    assert code == 0
    assert not [line for line in errors.splitlines() if not line.endswith("Invalid HTTP request received.")]


def test_every_route_says_what_it_may_answer(http: httpx2.Client) -> None:
    schema = http.get("/v1/openapi.json").json()
    assert "A body has at most 4259840 bytes." in schema["info"]["description"]
    paths = schema["paths"]
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in paths.items()
        for method, operation in methods.items()
    }
    assert set(operations) == {
        "POST /v1/sessions",
        "GET /v1/sessions",
        "GET /v1/sessions/{session_id}",
        "POST /v1/sessions/{session_id}/touch",
        "PUT /v1/sessions/{session_id}/data",
        "POST /v1/sessions/{session_id}/interrupt",
        "POST /v1/sessions/{session_id}/close",
        "GET /v1/sessions/{session_id}/history",
        "POST /v1/interrupt",
        "GET /v1/stats",
        "GET /v1/events",
        "GET /v1/nodes",
        "POST /v1/erase",
        "GET /v1/locks",
        "POST /v1/locks/acquire",
        "POST /v1/locks/renew",
        "POST /v1/locks/release",
        "GET /v1/items",
        "GET /v1/items/{key}",
        "PUT /v1/items/{key}",
        "DELETE /v1/items/{key}",
        "GET /healthz",
        "GET /readyz",
    }
    for operation in operations.values():
        assert operation["description"]
        answers = operation["responses"]
        assert {"400", "401", "403", "429", "500", "503", "504"} <= set(answers)
        assert ("413" in answers) == ("requestBody" in operation)
        for status, answer in answers.items():
            if status >= "400":
                assert set(answer["content"]) == {"application/problem+json"}
