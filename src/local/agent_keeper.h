/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Keepers: one small process a pod that outlives the agent. A keeper holds the pod's network, UTS
 * and IPC namespaces by being in them, mounts its memory volumes in a mount namespace of its own,
 * is the parent of its containers, writes their logs, and remembers how they ended. So a killed
 * agent takes nothing along, a new one asks the keeper, and when the keeper ends the kernel takes
 * all of it away: containers (they die with it), namespaces, links, mounts.
 *
 * Keepers are forked by a launcher, itself forked before the agent has threads or secrets. The
 * agent tells a keeper what to do by packets over POD_DIR/keeper.sock; one agent at a time.
 *
 *     POD_DIR/pod.json                     the sandbox (see agent_sandbox.h)
 *     POD_DIR/containers/NAME/N/spec.json  a container's N-th start (agent_container.h)
 *     POD_DIR/containers/NAME/N/state.json how it stands, as the keeper wrote it last
 *
 * To the keeper:
 *     {op:start, container, attempt}     {op:signal, container, signal}     {op:stop}
 *     {op:exec, id, container, argv, tty} with fds 0..2     {op:exec-kill, id}
 *     {op:attach, id, container, input, output, error} with fds 0..2     {op:detach, id}
 *     {op:resize, container, columns, rows}     {op:socket, id}
 * From the keeper, after connecting everything it knows and then what changes:
 *     {ev:ready, pid} or {ev:failed, message}
 *     {ev:container, name, attempt, state: running|exited, pid, startedAt, finishedAt (wall
 *      microseconds), code, oom, startError (the program never ran), message}
 *     {ev:exec, id, code} or {ev:exec, id, error}
 *     {ev:socket, id} with fd: a fresh TCP socket of the pod's network
 */

#include "codec/json.h"
#include "loop/loop.h"

/* Forks the launcher. Call it first in main(): one thread, no secrets yet. It ends when the last
 * copy of *ret_fd is closed. */
_must_check_ int launcher_start(int *ret_fd);

/* Starts a keeper for a pod whose pod.json is written. */
_must_check_ int launcher_launch(int launcher, const char *pod_dir);

#define KEEPER_COMM "mobula-pod" /* a keeper's name in lists of processes */

typedef struct Keeper Keeper;

typedef struct KeeperEvents {
    void (*ready)(void *ctx, pid_t pid);
    void (*failed)(void *ctx, const char *message); /* the sandbox could not be made */
    void (*container)(void *ctx, const json_t *event);
    void (*exec)(void *ctx, uint64_t id, int code, const char *error); /* error NULL: it ran */
    void (*socket)(void *ctx, uint64_t id, int fd);                    /* takes fd */
    void (*gone)(void *ctx);                                           /* the keeper ended */
} KeeperEvents;

/* Connects. -ECONNREFUSED or -ENOENT: no keeper lives there. `events` is borrowed for life. */
_must_check_ int keeper_connect(Loop *loop, const char *pod_dir, const KeeperEvents *events,
                                void *ctx, Keeper **ret_keeper);
Keeper *keeper_free(Keeper *keeper);
DEFINE_CLEANUP(Keeper *, keeper_free);

_must_check_ int keeper_start_container(Keeper *keeper, const char *name, int attempt);
_must_check_ int keeper_signal(Keeper *keeper, const char *name, int signal);
/* fds stay the caller's; -1 for none. */
_must_check_ int keeper_exec(Keeper *keeper, uint64_t id, const char *container, json_t *argv,
                             bool tty, const int fds[static 3]);
_must_check_ int keeper_exec_kill(Keeper *keeper, uint64_t id);
/* Its end comes as that of an exec: when the container ends, or when nothing is connected any more. */
_must_check_ int keeper_attach(Keeper *keeper, uint64_t id, const char *container,
                               const int fds[static 3]);
_must_check_ int keeper_detach(Keeper *keeper, uint64_t id);
_must_check_ int keeper_resize(Keeper *keeper, const char *container, int columns, int rows);
_must_check_ int keeper_socket(Keeper *keeper, uint64_t id);
/* Ends all containers at once, then the keeper. */
_must_check_ int keeper_stop(Keeper *keeper);

/* Without a loop: ends the keeper of `pod_dir` if one lives there, and waits for that up to
 * `timeout`; then it is killed, and waited for as long again. For cleaning up. */
_must_check_ int keeper_end_now(const char *pod_dir, usec_t timeout);
