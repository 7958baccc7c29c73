/* SPDX-License-Identifier: Apache-2.0 */

/* What test_c_api.py's driver calls. */

#include <errno.h>
#include <mobula.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

MobulaTaskFn echo, join, two, fail, crash, pid, until_cancelled, twice_removed;

int echo(MobulaCall *call) {
    size_t size;
    const void *data = mobula_arg(call, 0, &size);
    return data ? mobula_return(call, 0, data, size) : -EINVAL;
}

int join(MobulaCall *call) {
    char text[256] = "";
    for (size_t i = 0, size, len = 0; i < mobula_args(call); i++, len += size) {
        const void *data = mobula_arg(call, i, &size);
        if (len + size >= sizeof(text))
            return mobula_fail(call, -E2BIG, "too long");
        memcpy(text + len, data, size);
    }
    return mobula_return(call, 0, text, strlen(text));
}

int two(MobulaCall *call) {
    if (mobula_return(call, 2, "", 0) != -EINVAL)
        return mobula_fail(call, -EPROTO, "a return too many was taken");
    return mobula_return(call, 1, "second", 6);
}

int fail(MobulaCall *call) {
    return mobula_fail(call, -EINVAL, "as asked: %d", 7);
}

int crash(MobulaCall *call) {
    (void)call;
    abort();
}

int pid(MobulaCall *call) {
    pid_t self = getpid();
    return mobula_return(call, 0, &self, sizeof(self));
}

int until_cancelled(MobulaCall *call) {
    while (!mobula_cancelled(call))
        usleep(1000);
    return -ECANCELED;
}

/* A task that calls a task: its argument is the library's path. */
int twice_removed(MobulaCall *call) {
    size_t size;
    const char *data = mobula_arg(call, 0, &size);
    char path[4096] = "";
    Mobula *mobula = mobula_session(call);
    MobulaLibrary *library;
    MobulaFunction *function;
    MobulaRef *ref;
    MobulaValue value;
    if (!data || size >= sizeof(path))
        return -EINVAL;
    memcpy(path, data, size);
    int r = mobula_library_open(mobula, path, &library);
    if (r == 0)
        r = mobula_function_new(library, "echo", NULL, &function);
    if (r != 0)
        return r;
    MobulaArg arg = { .data = "from within", .size = 11 };
    r = mobula_submit(function, &arg, 1, &ref);
    if (r == 0)
        r = mobula_get(mobula, &ref, 1, 30 * 1000000, &value);
    if (r != 0)
        return r < 0 ? r : -ETIMEDOUT;
    r = mobula_return(call, 0, value.data, value.size);
    mobula_value_release(&value);
    mobula_ref_drop(ref);
    mobula_function_free(function);
    mobula_library_close(library);
    return r;
}

static int construct(MobulaCall *call, void **ret_self) {
    if (mobula_args(call) == 1)
        return mobula_fail(call, -EDOM, "not like this");
    *ret_self = calloc(1, sizeof(int));
    return *ret_self ? 0 : -ENOMEM;
}

static int count(MobulaCall *call, void *self) {
    int *number = self;
    (*number)++;
    return mobula_return(call, 0, number, sizeof(*number));
}

static int die(MobulaCall *call, void *self) {
    (void)call;
    (void)self;
    abort();
}

static const MobulaClassMethod methods[] = {
    { "count", count },
    { "die", die },
    { NULL, NULL },
};
const MobulaClass Counter = { .construct = construct, .destroy = free, .methods = methods };
