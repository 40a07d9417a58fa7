"""A server with keys, and the real clients that give theirs in their own ways."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import uuid
from datetime import datetime, timezone

import pytest
from agentex import Agentex
from agentex import AuthenticationError as AgentexAuthenticationError
from scale_gp_beta import AuthenticationError, NotFoundError, PermissionDeniedError, SGPClient

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

START = datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=timezone.utc)


class LockedServer:
    """A server of its own, with a key for each of two accounts."""

    def __init__(self, url: str, keys: dict[str, str]) -> None:
        self.url = url
        self.keys = keys

    def sgp(self, key: str, account: str) -> SGPClient:
        return SGPClient(api_key=key, account_id=account, base_url=self.url, max_retries=0)

    def agentex(self, **settings: object) -> Agentex:
        return Agentex(base_url=self.url, max_retries=0, **settings)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory):
    binary = os.environ.get("ENDSPAN_BIN")
    if binary is None:
        pytest.skip("needs the binary in ENDSPAN_BIN")
    data = tmp_path_factory.mktemp("locked-data")
    create = [binary, "keys", "create", "--role", "ingest,read", "--data", str(data), "--account"]
    keys = {}
    for account in ("team-a", "team-b"):
        made = subprocess.run([*create, account], check=True, capture_output=True, text=True)
        keys[account] = made.stdout.strip()
    with (tmp_path_factory.getbasetemp() / "locked.log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "serve", "--listen", "127.0.0.1:0", "--data", str(data)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield LockedServer(re.search(r"http://[0-9.]+:[0-9]+", process.stdout.readline()).group(0), keys)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0


def span(trace_id: str) -> dict:
    return {"id": str(uuid.uuid4()), "trace_id": trace_id, "name": "n"}


def test_sgp_row_68_the_sgp_client_gets_in_with_its_key_and_sees_its_account_only(locked, trace_id):
    mine = span(trace_id) | {"start_timestamp": START}
    client = locked.sgp(locked.keys["team-a"], "team-a")
    assert client.spans.create(**mine).account_id == "team-a"
    assert client.spans.retrieve(mine["id"]).name == "n"
    with pytest.raises(NotFoundError):
        locked.sgp(locked.keys["team-b"], "team-b").spans.retrieve(mine["id"])
    with pytest.raises(PermissionDeniedError):
        locked.sgp(locked.keys["team-b"], "team-a").spans.retrieve(mine["id"])
    with pytest.raises(AuthenticationError):
        locked.sgp("another server's key", "team-a").spans.retrieve(mine["id"])


def test_agentex_rows_72_to_74_the_agentex_client_gets_in_with_either_of_its_keys(locked, trace_id):
    mine = span(trace_id) | {"start_time": START}
    bearer = locked.agentex(api_key=locked.keys["team-a"])
    assert bearer.spans.create(**mine).id == mine["id"]
    agent = locked.agentex(default_headers={"x-agent-api-key": locked.keys["team-a"]})
    assert agent.spans.retrieve(mine["id"]).name == "n"
    for headers in ({}, {"x-agent-api-key": "bad"}):
        with pytest.raises(AgentexAuthenticationError) as refused:
            locked.agentex(default_headers=headers).spans.retrieve(mine["id"])
        expected = "Agent Unauthorized" if headers else "Unauthorized"
        assert refused.value.body == {"detail": expected}
