/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The roles of the one binary. Each `cmd_x` lives in `x_main.c` (dashes become underscores): it
 * parses its arguments with cmd/options.h, wires its folder up and runs it, in at most 200 lines.
 * `argv[0]` is the role's name. The result is the exit status of the process. A role joins the
 * build when its file exists and its name stands in cmd_roles of cmd/meson.build.
 */

#include "base/base.h"

int cmd_gcs(int argc, char **argv);        /* the head's control plane */
int cmd_raylet(int argc, char **argv);     /* the daemon of one node */
int cmd_dashboard(int argc, char **argv);  /* HTTP on :8265 */
int cmd_job_run(int argc, char **argv);    /* supervises one submitted job */
int cmd_c_worker(int argc, char **argv);   /* a worker that runs code of shared objects */
int cmd_env_setup(int argc, char **argv);  /* builds one runtime environment, then exits */
int cmd_apiserver(int argc, char **argv);  /* the embedded Kubernetes API server */
int cmd_node_agent(int argc, char **argv); /* runs pods of one machine as processes */
int cmd_operator(int argc, char **argv);   /* RayCluster and RayJob controllers */
int cmd_run(int argc, char **argv);        /* manifests to finished jobs on this machine */
int cmd_down(int argc, char **argv);       /* ends what `run --keep` left */
int cmd_wget(int argc, char **argv);       /* the part of wget that KubeRay's probes use */

int cmd_ray(int argc, char **argv);        /* Ray's own grammar: `ray start`, `ray job submit` … */
