/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The common part of all controllers: durable events of the store mark keys ("ns/name"), marked
 * keys are worked on once each after the tick's events, or at a later time that the work asked
 * for. A controller never works inside an event, and what it does shows up as further events.
 */

#include "local/api.h"

typedef struct Controller Controller;

struct Controller {
    Api *api;
    const char *manager; /* field manager and event source */
    StoreWatch watch;
    StrMap marked;       /* key to KeyMark */
    List ready;          /* of KeyMark, first come first served */
    LoopTask *task;
    LoopTimer *timer;
    void (*on_event)(Controller *controller, const StoreEvent *event);
    void (*sync)(Controller *controller, const char *ns, const char *name);
};

/* Fills the common part in and listens to all tables. */
void controller_init(Controller *controller, Api *api, const char *manager,
                     void (*on_event)(Controller *, const StoreEvent *),
                     void (*sync)(Controller *, const char *ns, const char *name));
void controller_done(Controller *controller);

void controller_mark(Controller *controller, const char *ns, const char *name);
/* Marks at a wall time; an earlier time already noted stays. */
void controller_mark_at(Controller *controller, const char *ns, const char *name, usec_t wall);
/* Marks every object of a table: at start. */
void controller_mark_all(Controller *controller, const char *group, const char *plural);

bool controller_is_table(const Controller *controller, const StoreEvent *event, const char *name);
ApiCall controller_call(const Controller *controller, const char *group, const char *plural,
                        const char *ns, const char *name);
/* Logs what a verb said, unless it is what a race may give (not found, conflict). */
void controller_report(const Controller *controller, const ApiCall *call, int r, const char *doing);

/* Records an Event about an object. The same again is counted up. */
void component_event(Api *api, const char *component, const json_t *object, const char *type,
                     const char *reason, const char *format, ...) _printf_(6, 7);
