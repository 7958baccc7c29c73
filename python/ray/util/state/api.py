# SPDX-License-Identifier: Apache-2.0
"""The state API's client: lists, single things and summaries, as the dashboard serves them."""
import contextlib
import json
import logging
import threading
import urllib.error
import urllib.parse
import urllib.request
import warnings
from dataclasses import fields

from ray.util.state.common import (
    DEFAULT_LIMIT,
    DEFAULT_RPC_TIMEOUT,
    GetApiOptions,
    GetLogOptions,
    ListApiOptions,
    StateResource,
    SummaryApiOptions,
    SummaryResource,
    dict_to_state,
)
from ray.util.state.exception import RayStateApiException, ServerUnavailable

logger = logging.getLogger(__name__)

_ID_COLUMNS = {
    StateResource.NODES: "node_id",
    StateResource.ACTORS: "actor_id",
    StateResource.PLACEMENT_GROUPS: "placement_group_id",
    StateResource.WORKERS: "worker_id",
    StateResource.TASKS: "task_id",
    StateResource.OBJECTS: "object_id",
    StateResource.JOBS: "submission_id",
}


def ray_address_to_api_server_url(address):
    """The dashboard's URL: an http(s) address itself; of the cluster this process is connected to;
    of RAY_API_SERVER_ADDRESS; else as the gcs that is meant tells it."""
    import os

    from ray import _mobula
    from ray._private.address import dashboard_url

    address = address or os.environ.get("RAY_API_SERVER_ADDRESS")
    if address and "://" in address:
        return address.rstrip("/")
    if _mobula.is_connected():
        info = _mobula.info()
        if address in (None, "auto", info["gcs_address"]):
            url = info["dashboard_url"]
            if not url:
                raise ServerUnavailable("The cluster runs without a dashboard.")
            return url if "://" in url else f"http://{url}"
    return dashboard_url(address or os.environ.get("RAY_ADDRESS") or "auto")


def _request(url, timeout):
    from ray._private import auth

    token = auth.for_requests()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)


@contextlib.contextmanager
def _warn_when_slow(address, endpoint, timeout, explain):
    """Says after a while that an answer takes long, where the user is to be told."""

    def warn():
        logger.info(
            f"({seconds} / {timeout} seconds) Waiting for the response from the API server "
            f"address {address}{endpoint}."
        )

    seconds, timer = timeout / 2, None
    if explain:
        timer = threading.Timer(seconds, warn)
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        if timer:
            timer.cancel()


def _parameters(options):
    """The query of a list or a get, filters as three lists of one length."""
    query = []
    for each in fields(options):
        value = getattr(options, each.name)
        if each.name == "filters":
            for one in value:
                if len(one) != 3:
                    raise ValueError(
                        f"The given filter has incorrect input type, {one}. "
                        "Provide (key, predicate, value) tuples."
                    )
                query += zip(("filter_keys", "filter_predicates", "filter_values"), one)
        elif value is not None:
            query.append((each.name, value))
    return query


class StateApiClient:
    """Questions to one cluster's dashboard."""

    def __init__(self, address=None, cookies=None, headers=None):
        self._address = ray_address_to_api_server_url(address)

    def get_address(self):
        """The dashboard's URL."""
        return self._address

    def _get(self, endpoint, query, timeout, explain):
        url = f"{self._address}{endpoint}?{urllib.parse.urlencode(query)}"
        failure = (
            f"Failed to make request to {self._address}{endpoint}. Failed to connect to API server. "
            "Please check the API server log for details. Make sure dependencies are installed with "
            "`pip install ray[default]`. Please also check dashboard is available, and included when "
            "starting ray cluster, i.e. `ray start --include-dashboard=True --head`. "
        )
        with _warn_when_slow(self._address, endpoint, timeout, explain):
            try:
                with _request(url, timeout) as response:
                    body = response.read()
            except urllib.error.HTTPError as e:
                body = e.read()
                if "application/json" not in e.headers.get("Content-Type", ""):
                    raise RayStateApiException(
                        f"{failure}Response(url={url},status={e.code})"
                    ) from e
            except OSError as e:
                raise ServerUnavailable(failure) from e
        answer = json.loads(body)
        if isinstance(answer, list):
            return answer
        if answer["result"] is False:
            raise RayStateApiException(
                "API server internal error. See dashboard.log file for more details. "
                f"Error: {answer['msg']}"
            )
        return answer["data"]["result"]

    def get(self, resource, id, options, _explain=False):
        """One by its id, with all details; several attempts of a task and references of an object are
        a list; None when there is none such."""
        if resource not in _ID_COLUMNS:
            raise ValueError(f"Can't get {resource.name} by id.")
        query = _parameters(options) + [
            ("filter_keys", _ID_COLUMNS[resource]),
            ("filter_predicates", "="),
            ("filter_values", id),
            ("detail", True),
        ]
        answer = self._get(f"/api/v0/{resource.value}", query, options.timeout, _explain)
        found = [dict_to_state(columns, resource) for columns in answer["result"]]
        if not found:
            return None
        if resource == StateResource.OBJECTS or len(found) > 1:
            return found
        return found[0]

    def list(self, resource, options, raise_on_missing_output, _explain=False):
        if options.has_conflicting_filters():
            return []
        answer = self._get(
            f"/api/v0/{resource.value}", _parameters(options), options.timeout, _explain
        )
        if raise_on_missing_output:
            _raise_if_incomplete(resource, answer)
        if _explain:
            _warn_of(resource, answer, True)
        return [dict_to_state(columns, resource) for columns in answer["result"]]

    def summary(self, resource, *, options, raise_on_missing_output, _explain=False):
        query = [("timeout", options.timeout)]
        answer = self._get(
            f"/api/v0/{resource.value}/summarize", query, options.timeout, _explain
        )
        if raise_on_missing_output:
            _raise_if_incomplete(resource, answer)
        if _explain:
            _warn_of(resource, answer, False)
        return answer["result"]["node_id_to_summary"]

    def timeline(self, timeout=DEFAULT_RPC_TIMEOUT):
        """Chrome's trace events of the calls that are known."""
        return self._get("/api/v0/tasks/timeline", [("timeout", timeout)], timeout, False)


def _warn_of(resource, answer, limited):
    """What the user should know of an answer that is not whole."""
    if answer.get("partial_failure_warning"):
        warnings.warn(answer["partial_failure_warning"])
    kept, total = answer["num_after_truncation"], answer["total"]
    if total > kept:
        warnings.warn(
            f"The returned data may contain incomplete result. {kept} ({total} total from the "
            f"cluster) {resource.value} are retrieved from the data source. {total - kept} entries "
            f"have been truncated. Max of {kept} entries are retrieved from data source to prevent "
            "over-sized payloads."
        )
    if limited and answer["num_filtered"] > len(answer["result"]):
        warnings.warn(
            f"Limit last {len(answer['result'])} entries (Total {answer['num_filtered']}). Use "
            "`--filter` to reduce the amount of data to return or setting a higher limit with "
            "`--limit` to see all data. "
        )
    for text in answer.get("warnings") or []:
        warnings.warn(text)


def _raise_if_incomplete(resource, answer):
    if answer.get("partial_failure_warning"):
        raise RayStateApiException(
            f"Failed to retrieve all {resource.value} from the cluster because"
            "they are not reachable due to query failures to the data sources. "
            "To avoid raising an exception and allow having missing output, "
            "set `raise_on_missing_output=False`. "
        )
    kept, total = answer["num_after_truncation"], answer["total"]
    if total != kept:
        raise RayStateApiException(
            f"Failed to retrieve all {total} {resource.value} from the cluster "
            "because they are not reachable due to data truncation. It happens "
            f"when the returned data is too large (> {kept}) "
            "To avoid raising an exception and allow having missing output, "
            "set `raise_on_missing_output=False`. "
        )


# ---- single things -------------------------------------------------------------------------------


def _get(resource, id, address, timeout, explain):
    return StateApiClient(address=address).get(
        resource, id, GetApiOptions(timeout=timeout), _explain=explain
    )


def get_actor(id, address=None, timeout=DEFAULT_RPC_TIMEOUT, _explain=False):
    """One actor with all details, or None."""
    return _get(StateResource.ACTORS, id, address, timeout, _explain)


def get_job(id, address=None, timeout=DEFAULT_RPC_TIMEOUT, _explain=False):
    """The job of a submission id, or None."""
    return _get(StateResource.JOBS, id, address, timeout, _explain)


def get_placement_group(id, address=None, timeout=DEFAULT_RPC_TIMEOUT, _explain=False):
    """One placement group with all details, or None."""
    return _get(StateResource.PLACEMENT_GROUPS, id, address, timeout, _explain)


def get_node(id, address=None, timeout=DEFAULT_RPC_TIMEOUT, _explain=False):
    """One node with all details, or None."""
    return _get(StateResource.NODES, id, address, timeout, _explain)


def get_worker(id, address=None, timeout=DEFAULT_RPC_TIMEOUT, _explain=False):
    """One worker with all details, or None."""
    return _get(StateResource.WORKERS, id, address, timeout, _explain)


def get_task(id, address=None, timeout=DEFAULT_RPC_TIMEOUT, _explain=False):
    """The task of an id or of an ObjectRef; a list when it was tried more than once; or None."""
    id = id if isinstance(id, str) else id.task_id().hex()
    return _get(StateResource.TASKS, id, address, timeout, _explain)


def get_objects(id, address=None, timeout=DEFAULT_RPC_TIMEOUT, _explain=False):
    """The references to an object, one a process that knows it."""
    return _get(StateResource.OBJECTS, id, address, timeout, _explain)


# ---- lists ---------------------------------------------------------------------------------------


def _lister(resource, about):
    def lists(
        address=None,
        filters=None,
        limit=DEFAULT_LIMIT,
        timeout=DEFAULT_RPC_TIMEOUT,
        detail=False,
        raise_on_missing_output=True,
        _explain=False,
    ):
        options = ListApiOptions(limit=limit, timeout=timeout, filters=filters, detail=detail)
        return StateApiClient(address=address).list(
            resource,
            options=options,
            raise_on_missing_output=raise_on_missing_output,
            _explain=_explain,
        )

    lists.__name__ = lists.__qualname__ = f"list_{resource.value}"
    lists.__doc__ = about
    return lists


_FILTERS = ' `filters`: [(column, "=" or "!=", value)], all must hold.'

list_actors = _lister(StateResource.ACTORS, "The actors, dead ones too." + _FILTERS)
list_jobs = _lister(StateResource.JOBS, "Submitted jobs and drivers." + _FILTERS)
list_nodes = _lister(StateResource.NODES, "The nodes, dead ones too." + _FILTERS)
list_objects = _lister(StateResource.OBJECTS, "References, a process each." + _FILTERS)
list_placement_groups = _lister(StateResource.PLACEMENT_GROUPS, "Removed ones too." + _FILTERS)
list_runtime_envs = _lister(StateResource.RUNTIME_ENVS, "Those in use, a node each." + _FILTERS)
list_tasks = _lister(StateResource.TASKS, "Calls, an attempt each." + _FILTERS)
list_workers = _lister(StateResource.WORKERS, "Drivers and workers, dead ones too." + _FILTERS)
list_cluster_events = _lister(StateResource.CLUSTER_EVENTS, "What happened." + _FILTERS)


# ---- summaries -----------------------------------------------------------------------------------


def _summarize(resource, address, timeout, raise_on_missing_output, explain):
    return StateApiClient(address=address).summary(
        resource,
        options=SummaryApiOptions(timeout=timeout),
        raise_on_missing_output=raise_on_missing_output,
        _explain=explain,
    )


def summarize_tasks(
    address=None, timeout=DEFAULT_RPC_TIMEOUT, raise_on_missing_output=True, _explain=False
):
    """How many calls of each function are in each state."""
    return _summarize(SummaryResource.TASKS, address, timeout, raise_on_missing_output, _explain)


def summarize_actors(
    address=None, timeout=DEFAULT_RPC_TIMEOUT, raise_on_missing_output=True, _explain=False
):
    """How many actors of each class are in each state."""
    return _summarize(SummaryResource.ACTORS, address, timeout, raise_on_missing_output, _explain)


def summarize_objects(
    address=None, timeout=DEFAULT_RPC_TIMEOUT, raise_on_missing_output=True, _explain=False
):
    """What kinds of references there are, and how large their objects are together."""
    return _summarize(SummaryResource.OBJECTS, address, timeout, raise_on_missing_output, _explain)


# ---- logs ----------------------------------------------------------------------------------------


def get_log(
    address=None,
    node_id=None,
    node_ip=None,
    filename=None,
    actor_id=None,
    task_id=None,
    pid=None,
    follow=False,
    tail=-1,
    timeout=DEFAULT_RPC_TIMEOUT,
    suffix="out",
    encoding="utf-8",
    errors="strict",
    submission_id=None,
    attempt_number=0,
    _interval=None,
    filter_ansi_code=False,
):
    """Yields a log file in pieces: by its name, or that of an actor, task, process or job."""
    import codecs

    url = ray_address_to_api_server_url(address)
    options = GetLogOptions(
        node_id=node_id,
        node_ip=node_ip,
        filename=filename,
        actor_id=actor_id,
        task_id=task_id,
        pid=pid,
        lines=tail,
        interval=_interval,
        media_type="stream" if follow else "file",
        timeout=timeout,
        suffix=suffix,
        submission_id=submission_id,
        attempt_number=attempt_number,
    )
    query = [
        (each.name, getattr(options, each.name))
        for each in fields(options)
        if getattr(options, each.name) is not None
    ]
    query.append(("filter_ansi_code", bool(filter_ansi_code)))
    url = f"{url}/api/v0/logs/{options.media_type}?{urllib.parse.urlencode(query)}"
    decoder = codecs.getincrementaldecoder(encoding)(errors) if encoding else None
    try:
        with _request(url, None if follow else timeout) as response:
            while chunk := response.read1(64 * 1024):
                yield decoder.decode(chunk) if decoder else chunk
    except urllib.error.HTTPError as e:
        raise RayStateApiException(e.read().decode(errors="replace")) from None
    except urllib.error.URLError as e:
        raise ServerUnavailable(f"Failed to make request to {url}: {e.reason}") from e


def list_logs(
    address=None, node_id=None, node_ip=None, glob_filter=None, timeout=DEFAULT_RPC_TIMEOUT
):
    """{group: [file names]} of one node's logs."""
    assert (
        node_ip is not None or node_id is not None
    ), "At least one of node ip and node id is required"
    query = {"glob": glob_filter or "*", "timeout": timeout}
    if node_ip:
        query["node_ip"] = node_ip
    if node_id:
        query["node_id"] = node_id
    return StateApiClient(address=address)._get("/api/v0/logs", list(query.items()), timeout, False)
