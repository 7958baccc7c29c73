/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A raylet in miniature for tests of the runtime: a thread that welcomes drivers and workers, grants
 * each lease to the next worker, makes rings and groups, and tells deaths.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "base/str.h"
#include "ipc/doorbell.h"
#include "ipc/sock.h"
#include "wire/messages.h"

enum {
    CLIENTS_MAX = 8
};

typedef struct Client {
    Sock sock;
    Doorbell bell;
    PeerId peer;
    Role role;
    bool leased, open;
} Client;

typedef struct Waiting { /* a lease request */
    FrameHeader header;
    LeaseId lease;
    int client;
} Waiting;

typedef struct Mini {
    char path[64];
    int listener, stop[2];
    pthread_t thread;
    Client clients[CLIENTS_MAX];
    int clients_len;
    Waiting waiting[256];
    size_t waiting_len;
    Buf functions;       /* the last export */
    _Atomic int blocked, returned, leases;
    _Atomic int killed;  /* asked for */
    _Atomic int pings, groups_removed;
    _Atomic PeerId near; /* of the last lease request */
} Mini;

/* Listens at `path`, and has its thread. */
void mini_start(Mini *mini);
void mini_stop(Mini *mini);
