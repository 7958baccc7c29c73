/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "capi/capi_private.h"
#include "model/resources.h"

struct MobulaFunction {
    Mobula *mobula;
    CoreTemplate *template_;
};

/* ---- libraries and what is in them ---- */

int mobula_library_open(Mobula *mobula, const char *path, MobulaLibrary **ret_library) {
    _cleanup_buf_ Buf data = { 0 };
    Hash hash;
    int r = file_read(path, CAPI_LIBRARY_MAX, &data);
    if (r == 0 && (data.len < 4 || memcmp(data.data, "\177ELF", 4) != 0))
        r = error_origin(-ENOEXEC, "%s is no shared object", path);
    if (r < 0)
        return r;
    core_hash(data.data, data.len, &hash);
    r = core_export(mobula->core, &hash, data.data, data.len, CAPI_TIMEOUT);
    if (r == CORE_TIMEOUT)
        r = error_origin(-ETIMEDOUT, "%s could not be sent to the cluster in time", path);
    if (r != 0)
        return r;
    MobulaLibrary *library = mem_new(MobulaLibrary);
    *library = (MobulaLibrary){ mobula, hash };
    *ret_library = library;
    return 0;
}

void mobula_library_close(MobulaLibrary *library) {
    free(library);
}

int capi_export(MobulaLibrary *library, const char *symbol, Hash *ret_hash) {
    size_t len = strlen(symbol);
    if (len == 0 || len > CAPI_SYMBOL_MAX || strchr(symbol, '\n'))
        return error_origin(-EINVAL, "a symbol has 1 to %d characters", CAPI_SYMBOL_MAX);
    _cleanup_free_ char *text =
        str_printf("%s\n%s\n%s", CAPI_MAGIC, ID_HEX(&library->hash), symbol);
    core_hash(text, strlen(text), ret_hash);
    int r = core_export(library->mobula->core, ret_hash, text, strlen(text), CAPI_TIMEOUT);
    return r == CORE_TIMEOUT
               ? error_origin(-ETIMEDOUT, "%s could not be sent to the cluster in time", symbol)
               : r;
}

/* ---- templates ---- */

static int read_resources(const MobulaResource *from, size_t len, Resource *out) {
    for (size_t i = 0; i < len; i++) {
        Quantity amount = 0;
        if (str_empty(from[i].name) || from[i].amount < 0)
            return error_origin(-EINVAL, "resource %zu: a name and an amount from 0 on are needed",
                                i);
        int r = quantity_from_double(from[i].amount, &amount);
        if (r < 0)
            return error_context(r, "resource %s", from[i].name);
        out[i] = (Resource){ slice_str(from[i].name), amount };
    }
    return 0;
}

int capi_template(Mobula *mobula, CoreTemplateSpec *spec, const MobulaResource *resources,
                  size_t len, double cpus, CoreTemplate **ret_template) {
    const MobulaResource usual = { "CPU", cpus };
    if (!len) {
        resources = &usual;
        len = cpus > 0;
    }
    if (spec->num_returns < 0 || spec->num_returns > CAPI_RETURNS_MAX)
        return error_origin(-EINVAL, "num_returns is %d, 0 to %d are possible", spec->num_returns,
                            CAPI_RETURNS_MAX);
    if (spec->max_retries < -1)
        return error_origin(-EINVAL, "max_retries is %d, -1 (for ever) is the least",
                            spec->max_retries);
    _cleanup_free_ Resource *list = mem_array(Resource, MAX(len, (size_t)1));
    int r = read_resources(resources, len, list);
    if (r < 0)
        return r;
    spec->resources = list;
    spec->resources_len = len;
    *ret_template = core_template_new(mobula->core, spec);
    spec->resources = NULL;
    return 0;
}

/* ---- arguments ---- */

static bool goes_to_store(const MobulaArg *arg) {
    return !arg->ref && arg->size > CORE_INLINE_MAX;
}

static uint8_t *add(uint8_t *at, const void *data, size_t len) {
    if (len)
        memcpy(at, data, len);
    return at + len;
}

static uint8_t *add_argument(uint8_t *at, const MobulaArg *arg) {
    uint8_t head[CAPI_HEAD_MAX];
    if (arg->ref || goes_to_store(arg))
        return add(at, "A", 1); /* the next of the call's values */
    at = add(at, head, capi_value_head(arg->size, head));
    return add(at, arg->data, arg->size);
}

/* References in order; large bytes become references. */
static int add_references(Mobula *mobula, const MobulaArg *args, size_t count, CapiArgs *out) {
    for (size_t i = 0; i < count; i++) {
        MobulaRef *ref = args[i].ref;
        if (goes_to_store(&args[i])) {
            int r = mobula_put(mobula, args[i].data, args[i].size, &ref);
            if (r != 0)
                return r;
        } else if (ref) {
            mobula_ref_hold(ref);
        }
        if (ref)
            out->top[out->core.top_len++] = ref_core(ref);
    }
    return 0;
}

void capi_args_done(CapiArgs *args) {
    for (size_t i = 0; i < args->core.top_len; i++)
        core_ref_drop(args->top[i]);
    if (args->bytes != args->fixed)
        free(args->bytes);
    if (args->top != args->fixed_top)
        free(args->top);
}

int capi_args(Mobula *mobula, const MobulaArg *args, size_t count, CapiArgs *out) {
    size_t refs = 0, bytes = 2 * sizeof(uint32_t);
    if (count > UINT16_MAX)
        return error_origin(-E2BIG, "a call has at most %d arguments", UINT16_MAX);
    for (size_t i = 0; i < count; i++) {
        bool outside = args[i].ref || goes_to_store(&args[i]);
        refs += outside;
        bytes += outside ? 1 : CAPI_HEAD_MAX + args[i].size;
    }
    out->bytes = bytes <= sizeof(out->fixed) ? out->fixed : mem_alloc(bytes);
    out->top = refs <= ARRAY_LEN(out->fixed_top) ? out->fixed_top : mem_array(CoreRef *, refs);
    out->core = (CoreArgs){ .bytes = out->bytes, .top = out->top };
    uint32_t counts[2] = { (uint32_t)count, 0 }; /* by place, by name */
    uint8_t *at = add(out->bytes, counts, sizeof(counts));
    for (size_t i = 0; i < count; i++)
        at = add_argument(at, &args[i]);
    out->core.bytes_len = (size_t)(at - out->bytes);
    int r = refs ? add_references(mobula, args, count, out) : 0;
    if (r != 0)
        capi_args_done(out);
    return r;
}

/* ---- tasks ---- */

int mobula_function_new(MobulaLibrary *library, const char *symbol,
                        const MobulaCallOptions *options, MobulaFunction **ret_function) {
    static const MobulaCallOptions defaults = MOBULA_CALL_OPTIONS;
    options = options ? options : &defaults;
    CoreTemplateSpec spec = {
        .kind = CALL_KIND_TASK,
        .name = symbol,
        .num_returns = options->num_returns,
        .max_retries = options->max_retries,
        .runtime_env = CAPI_ENV,
    };
    MobulaFunction *function = NULL;
    CoreTemplate *template_ = NULL;
    int r = capi_export(library, symbol, &spec.function);
    if (r == 0)
        r = capi_template(library->mobula, &spec, options->resources, options->resources_len, 1,
                          &template_);
    if (r < 0)
        return r;
    function = mem_new(MobulaFunction);
    *function = (MobulaFunction){ library->mobula, template_ };
    *ret_function = function;
    return 0;
}

void mobula_function_free(MobulaFunction *function) {
    if (!function)
        return;
    core_template_free(function->template_);
    free(function);
}

int mobula_submit(MobulaFunction *function, const MobulaArg *args, size_t count,
                  MobulaRef **ret_refs) {
    CapiArgs call;
    int r = capi_args(function->mobula, args, count, &call);
    if (r != 0)
        return r;
    r = core_submit(function->mobula->core, function->template_, &call.core, (CoreRef **)ret_refs);
    capi_args_done(&call);
    return capi_answer(r);
}

int mobula_cancel(Mobula *mobula, MobulaRef *ref, bool force) {
    return capi_answer(core_cancel(mobula->core, ref_core(ref), force, true));
}
