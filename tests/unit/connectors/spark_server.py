"""A Spark cluster on this machine: a master, a worker and a Spark Connect server, each a process of its own.

Everything comes from the `pyspark` wheel and Java; all ports are on loopback. It is started by the first
test that asks for it and ended, by process id, with the test session.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 10.0
QUICK_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto"
SETTINGS = {
    "spark.cores.max": "2",
    "spark.executor.memory": "600m",
    "spark.executor.extraJavaOptions": QUICK_JAVA,
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.codegen.wholeStage": "false",  # compiling takes longer than such small queries
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.ui.enabled": "false",
    "spark.connect.grpc.binding.address": "127.0.0.1",
}
REMOTE = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def spark_remote(pytestconfig: pytest.Config) -> str:
    """Return `sc://…` of the cluster of this test session, which is started if it is not there yet."""
    if shutil.which("java") is None or find_spec("pyspark") is None:
        pytest.skip("Spark needs Java 17 (Debian: openjdk-17-jre-headless) and the extra `spark`")
    if REMOTE not in pytestconfig.stash:
        folder = Path(tempfile.mkdtemp(prefix="spark-"))
        cluster = _Cluster(folder)
        pytestconfig.add_cleanup(cluster.stop)
        pytestconfig.stash[REMOTE] = cluster.start()
    return pytestconfig.stash[REMOTE]


class _Cluster:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> str:
        master, server = _free_ports(2)
        url = f"spark://127.0.0.1:{master}"
        self._run("spark-class", "org.apache.spark.deploy.master.Master",
                  "--host", "127.0.0.1", "--port", str(master), "--webui-port", "0")  # fmt: skip
        self._run("spark-class", "org.apache.spark.deploy.worker.Worker",
                  "--host", "127.0.0.1", "--cores", "2", "--memory", "800m", "--webui-port", "0",
                  "--work-dir", str(self._folder / "work"), url)  # fmt: skip
        settings = SETTINGS | {
            "spark.connect.grpc.binding.port": str(server),
            "spark.sql.warehouse.dir": str(self._folder / "warehouse"),
        }
        options = [part for name, value in settings.items() for part in ("--conf", f"{name}={value}")]
        self._run("spark-submit", "--class", "org.apache.spark.sql.connect.service.SparkConnectServer",
                  "--master", url, "--driver-memory", "600m", "--driver-java-options", QUICK_JAVA,
                  *options)  # fmt: skip
        self._wait_for(server)
        return f"sc://127.0.0.1:{server}"

    def stop(self) -> None:
        for process in reversed(self._processes):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_TIMEOUT_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        spec = find_spec("pyspark")
        assert spec is not None
        assert spec.origin is not None
        home = Path(spec.origin).parent
        environment = os.environ | {
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_CONNECT_MODE": "0",
            "SPARK_DAEMON_MEMORY": "600m",
            "SPARK_DAEMON_JAVA_OPTS": f"{QUICK_JAVA} -Dspark.master.rest.enabled=false",
        }
        with (self._folder / f"{len(self._processes)}.log").open("wb") as log:
            # A group of its own, so that the executors, children of the worker, end with it.
            process = subprocess.Popen(
                [str(home / "bin" / program), *arguments],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)

    def _wait_for(self, port: int) -> None:
        begin_s = time.monotonic()
        while time.monotonic() - begin_s < START_TIMEOUT_S:
            if any(process.poll() is not None for process in self._processes):
                break
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.1)
        ends = [log.read_text(errors="replace")[-4000:] for log in sorted(self._folder.glob("*.log"))]
        pytest.fail("Spark did not start; its logs end so:\n" + "\n---\n".join(ends))


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
