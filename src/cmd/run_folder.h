/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The folder of a local cluster, and whose it is. A `mobula run` that starts a cluster holds a lock
 * on the folder itself (flock: it goes with the process, whatever ends it). run.json in there says
 * what runs and whether it is to stay, so that others know whether they may use it, and so that
 * `mobula down` can end it, also after a crash.
 */

#include <sys/types.h>

#include "codec/json.h"

/* `given`, else $MOBULA_RUN_DIR, else $XDG_STATE_HOME/mobula/run, else ~/.local/state/mobula/run;
 * absolute. Owned. */
char *run_folder_path(const char *given);

typedef struct RunFolder {
    char *dir;
    int lock; /* -1: another run has it */
} RunFolder;

void run_folder_done(RunFolder *folder);

/* 0: the folder is ours, made if missing. FOLDER_SHARED: another run is using a cluster there that
 * is to stay, and others may use it too. FOLDER_STARTING: it will be known soon which; ask again.
 * A folder whose cluster ends with another run is passed over for "dir-2", "dir-3" and so on. */
enum {
    FOLDER_SHARED = 1,
    FOLDER_STARTING = 2
};
_must_check_ int run_folder_claim(const char *dir, RunFolder *ret_folder);

/* The numbered folders beside `dir` that no run has any more, e.g. of one that was killed. */
void run_folder_stale(const char *dir, StrList *ret_dirs);

/* run.json: {kubeconfig, nodes, keep, ready, processes: [{name, pid, started}]}. NULL when there is
 * none, or none that can be read. */
json_t *run_record_read(const char *dir);
_must_check_ int run_record_write(const char *dir, const json_t *record);
void run_record_remove(const char *dir);

/* The entry of a process; NULL: none. */
const json_t *run_record_find(const json_t *record, const char *name);
/* Some process of the cluster that lives; 0: none. */
pid_t run_record_living(const json_t *record);
/* Whether that very process lives, not another one of its number. NULL does not. */
bool run_entry_lives(const json_t *entry);
