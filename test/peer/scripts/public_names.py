# SPDX-License-Identifier: Apache-2.0
"""Names that programs import, and the parameters of what can be called. No cluster is needed."""
import importlib
import inspect
import warnings

warnings.simplefilter("ignore")

NAMES = """
ray: available_resources cancel cluster_resources get get_actor get_gpu_ids get_runtime_context init is_initialized kill method nodes put remote shutdown timeline wait client ClientBuilder LoggingConfig
ray.actor: ActorClass ActorHandle ActorMethod exit_actor method
ray.autoscaler.sdk: request_resources
ray.cluster_utils: Cluster
ray.dag: ClassMethodNode ClassNode DAGContext DAGInputData DAGNode FunctionNode InputAttributeNode InputNode MultiOutputNode plot
ray.dag.class_node: ClassMethodNode ClassNode
ray.dag.dag_node: DAGNode
ray.dag.function_node: FunctionNode
ray.dag.input_node: InputNode
ray.dag.output_node: MultiOutputNode
ray.dashboard.modules.dashboard_sdk: ClusterInfo SubmissionClient get_job_submission_client_cluster_info parse_cluster_info parse_runtime_env_args
ray.dashboard.modules.job.common: JobErrorType JobInfo JobStatus JobSubmitRequest
ray.dashboard.modules.job.sdk: JobSubmissionClient
ray.exceptions: ActorDiedError ActorUnavailableError AuthenticationError GetTimeoutError NodeDiedError ObjectLostError ObjectStoreFullError OutOfMemoryError RayActorError RayError RaySystemError RayTaskError RuntimeEnvSetupError TaskCancelledError TaskUnschedulableError WorkerCrashedError
ray.experimental: get_local_object_locations get_object_locations set_resource
ray.experimental.internal_kv: _internal_kv_del _internal_kv_exists _internal_kv_get _internal_kv_initialized _internal_kv_list _internal_kv_put
ray.experimental.multiprocessing: Pool TimeoutError
ray.experimental.queue: Empty Full Queue
ray.experimental.state.api: get_actor list_actors summarize_tasks
ray.experimental.tqdm_ray: tqdm safe_print
ray.job_config: JobConfig
ray.job_submission: JobErrorType JobInfo JobStatus JobSubmissionClient
ray.runtime_context: RuntimeContext get_runtime_context
ray.runtime_env: RuntimeEnv RuntimeEnvConfig
ray.runtime_env.runtime_env: RuntimeEnv RuntimeEnvConfig
ray.types: ObjectRef
ray.util: ActorPool accelerators as_completed connect deregister_serializer disable_log_once_globally disconnect enable_periodic_logging get_current_placement_group get_node_instance_id get_node_ip_address get_placement_group inspect_serializability iter list_named_actors log_once map_unordered pdb placement_group placement_group_table ray_debugpy register_serializer remove_placement_group
ray.util.actor_group: ActorGroup
ray.util.actor_pool: ActorPool
ray.util.debug: disable_log_once_globally enable_periodic_logging log_once reset_log_once
ray.util.debugpy: set_trace
ray.util.iter: from_actors from_items from_iterators from_range
ray.util.joblib: register_ray
ray.util.metrics: Counter Gauge Histogram
ray.util.multiprocessing: Pool TimeoutError
ray.util.placement_group: PlacementGroup placement_group
ray.util.queue: Empty Full Queue
ray.util.rpdb: set_trace
ray.util.scheduling_strategies: DoesNotExist Exists In NodeAffinitySchedulingStrategy NodeLabelSchedulingStrategy NotIn PlacementGroupSchedulingStrategy
ray.util.serialization: deregister_serializer register_serializer
ray.util.state: StateApiClient get_actor get_job get_log get_node get_objects get_placement_group get_task get_worker list_actors list_cluster_events list_jobs list_logs list_nodes list_objects list_placement_groups list_runtime_envs list_tasks list_workers summarize_actors summarize_objects summarize_tasks
ray._common.network_utils: build_address find_free_port is_ipv6 is_localhost parse_address
ray._common.test_utils: Semaphore SignalActor async_wait_for_condition run_string_as_driver wait_for_condition
ray._common.utils: binary_to_hex env_bool env_float env_integer get_or_create_event_loop hex_to_binary import_attr load_class run_background_task
ray._private.services: canonicalize_bootstrap_address get_node_instance_id get_node_ip_address
ray._private.state: actors available_resources_per_node node_ids nodes total_resources_per_node
ray._private.test_utils: get_current_unused_port kill_actor_and_wait_for_failure wait_for_condition
ray._private.utils: get_num_cpus split_address
"""
CONSTANTS = """
ray: SCRIPT_MODE WORKER_MODE __version__
ray._raylet: RAY_NODE_ID_KEY RAY_NODE_ACCELERATOR_TYPE_KEY RAY_NODE_GROUP_KEY RAY_NODE_MARKET_TYPE_KEY RAY_NODE_REGION_KEY RAY_NODE_ZONE_KEY IMPLICIT_RESOURCE_PREFIX RAY_INTERNAL_NAMESPACE_PREFIX GRPC_STATUS_CODE_RESOURCE_EXHAUSTED GRPC_STATUS_CODE_UNAVAILABLE STREAMING_GENERATOR_RETURN
ray._private.ray_constants: DEFAULT_PORT DEFAULT_DASHBOARD_PORT DEFAULT_OBJECT_STORE_MEMORY_PROPORTION DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES OBJECT_STORE_MINIMUM_MEMORY_BYTES DEFAULT_TASK_MAX_RETRIES MIN_RESOURCE_GRANULARITY ID_SIZE GPU NEURON_CORES LOGGER_FORMAT RAY_ADDRESS_ENVIRONMENT_VARIABLE RESOURCES_ENVIRONMENT_VARIABLE
ray.dag: PARENT_CLASS_NODE_KEY PREV_CLASS_METHOD_CALL_KEY BIND_INDEX_KEY
ray.util.accelerators: NVIDIA_TESLA_V100 NVIDIA_A100 NVIDIA_H100 NVIDIA_TESLA_A100 GOOGLE_TPU_V4 INTEL_MAX_1550 AWS_NEURON_CORE APPLE_M1 APPLE_SILICON
ray.dashboard.modules.dashboard_sdk: DEFAULT_DASHBOARD_ADDRESS
"""


def each(text):
    for line in text.strip().splitlines():
        module, names = line.split(": ")
        for name in names.split():
            yield module, name, getattr(importlib.import_module(module), name)


def parameters(value):
    # Classes whose fields are records of pydantic or of another base have no parameters of note.
    return [
        p.name + ("=" if p.default is not p.empty else "") for p in inspect.signature(value).parameters.values()
    ]


# What they are made with is of no use outside: programs get them from the functions beside them.
MADE_INSIDE = {"connect", "ActorGroup", "ActorClass", "ActorHandle", "ActorMethod", "ClassNode", "FunctionNode", "InputNode", "PlacementGroup", "SignalActor", "Semaphore", "GetTimeoutError", "AuthenticationError"}
for module, name, value in each(NAMES):
    if inspect.ismodule(value):
        print(module, name, "module")
    elif inspect.isclass(value):
        shown = [] if issubclass(value, BaseException) or name in MADE_INSIDE else parameters(value)
        print(module, name, "class", *shown)
    elif callable(value) and name not in MADE_INSIDE:
        print(module, name, *parameters(value))
    else:
        print(module, name)
for module, name, value in each(CONSTANTS):
    print(module, name, repr(value))
