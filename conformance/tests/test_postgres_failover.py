"""A server on a Postgres whose primary dies for good: it follows to the standby, and loses nothing that it has answered.

Runs where the suite runs on Postgres (.ci/with-postgres), with two clusters of its own."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

WRITERS = 8
LIMIT_S = 120

pytestmark = [
    pytest.mark.skipif("ENDSPAN_STORE" not in os.environ, reason="of the engine on Postgres only"),
    pytest.mark.skipif(shutil.which("pg_basebackup") is None, reason="there is no pg_basebackup"),
]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Clusters:
    """A primary that waits for its standby at each commit, and the standby."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user: list[str] = []
        if os.getuid() == 0:  # as whom Postgres refuses to run
            user = next(entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody"))
            self.user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]
            os.chown(folder, user.pw_uid, user.pw_gid)
            for parent in folder.parents:
                if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        self.ports = {"primary": free_port(), "standby": free_port()}
        self.running: set[str] = set()
        self.run("initdb", "-D", self.data("primary"), "-U", "postgres", "-A", "trust", "--locale=C", "-E", "UTF8", "--no-sync")
        self.start("primary", "")
        primary = ["-h", "127.0.0.1", "-p", str(self.ports["primary"]), "-U", "postgres"]
        self.run("pg_basebackup", *primary, "-D", self.data("standby"), "-R", "-X", "stream", "-c", "fast", "--no-sync")
        self.start("standby", "")
        self.control("primary", "stop", "-m", "fast")
        self.start("primary", "*")

    def data(self, name: str) -> str:
        return str(self.folder / name)

    def run(self, program: str, *arguments: str) -> None:
        command = [*self.user, shutil.which(program), *arguments]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, check=True, cwd="/", timeout=LIMIT_S, **quiet)

    def control(self, name: str, *arguments: str) -> None:
        self.run("pg_ctl", "-D", self.data(name), "-w", "-t", str(LIMIT_S), *arguments)

    def start(self, name: str, standbys: str) -> None:
        options = f"-p {self.ports[name]} -k '' -h 127.0.0.1 -c synchronous_standby_names='{standbys}'"
        self.control(name, "start", "-l", self.data(name) + ".log", "-o", options)
        self.running.add(name)

    def kill(self, name: str) -> None:
        self.running.discard(name)
        self.control(name, "stop", "-m", "immediate")

    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports.values())
        return f"postgres://postgres@{hosts}/postgres?target_session_attrs=read-write"


class Load:
    """Writers that note what was answered."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stop = False
        self.lock = threading.Lock()
        self.stored: set[str] = set()
        self.others: dict[object, int] = {}
        self.threads = [threading.Thread(target=self.write, args=(writer,), daemon=True) for writer in range(WRITERS)]
        for thread in self.threads:
            thread.start()

    def write(self, writer: int) -> None:
        number = 0
        while not self.stop:
            number += 1
            span_id = f"w{writer}-{number}"
            span = {"id": span_id, "trace_id": f"t{number % 5}", "name": "n", "start_time": "2026-01-01T00:00:00Z", "input": {"n": number}}
            request = urllib.request.Request(self.url + "/spans", json.dumps(span).encode(), {"content-type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=LIMIT_S):
                    with self.lock:
                        self.stored.add(span_id)
            except urllib.error.HTTPError as error:
                answer = (error.code, error.headers.get("retry-after"))
                with self.lock:
                    self.others[answer] = self.others.get(answer, 0) + 1
                time.sleep(0.2)

    def until(self, condition) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end and all(thread.is_alive() for thread in self.threads), (len(self.stored), self.others)
            time.sleep(0.02)


def stored_ids(url: str) -> list[str]:
    ids: list[str] = []
    for trace in range(5):
        with urllib.request.urlopen(f"{url}/api/traces/t{trace}", timeout=LIMIT_S) as answer:
            ids += [span["id"] for span in json.load(answer)["spans"]]
    return ids


def test_a_failover_loses_nothing_that_was_answered(tmp_path: Path):
    clusters = Clusters(tmp_path)
    server = None
    try:
        command = [os.environ["ENDSPAN_BIN"], "serve", "--migrate", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "endspan")]
        environment = os.environ | {"ENDSPAN_STORE": clusters.url()}
        with (tmp_path / "endspan.log").open("wb") as log:
            server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        url = re.search(r"http://[0-9.]+:[0-9]+", server.stdout.readline()).group(0)
        load = Load(url)
        load.until(lambda: len(load.stored) > 200)
        clusters.kill("primary")
        # Away for longer than writes wait.
        load.until(lambda: load.others)
        before = len(load.stored)
        clusters.control("standby", "promote")
        load.until(lambda: len(load.stored) > before + 200)
        load.stop = True
        for thread in load.threads:
            thread.join(LIMIT_S)
        found = stored_ids(url)
        assert len(found) == len(set(found)), "a span is stored twice"
        assert not load.stored - set(found), "an answered span is lost"
        assert all(code == 503 and wait for code, wait in load.others), load.others
    finally:
        if server:
            server.send_signal(signal.SIGTERM)
            server.wait(LIMIT_S)
        for name in list(clusters.running):
            clusters.kill(name)
