/* SPDX-License-Identifier: Apache-2.0 */
#include "model/resources.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/map.h"

static const char *const known_names[RESOURCE_KINDS] = {
    [RESOURCE_CPU] = "CPU",
    [RESOURCE_GPU] = "GPU",
    [RESOURCE_MEMORY] = "memory",
    [RESOURCE_OBJECT_STORE_MEMORY] = "object_store_memory",
};

static int known_kind(const char *name) {
    for (int kind = 0; kind < RESOURCE_KINDS; kind++)
        if (str_eq(name, known_names[kind]))
            return kind;
    return -1;
}

void resources_done(ResourceSet *set) {
    for (uint32_t i = 0; i < set->custom_len; i++)
        free(set->custom[i].name);
    free(set->custom);
    *set = (ResourceSet){ 0 };
}

void resources_clear(ResourceSet *set) {
    resources_done(set);
}

void resources_copy(ResourceSet *to, const ResourceSet *from) {
    ResourceSet copy = *from;
    copy.custom = from->custom_len ? mem_array(CustomResource, from->custom_len) : NULL;
    copy.custom_cap = from->custom_len;
    for (uint32_t i = 0; i < from->custom_len; i++)
        copy.custom[i] = (CustomResource){ .name = str_dup(from->custom[i].name),
                                           .quantity = from->custom[i].quantity };
    resources_done(to);
    *to = copy;
}

size_t resources_count(const ResourceSet *set) {
    size_t count = set->custom_len;
    for (int kind = 0; kind < RESOURCE_KINDS; kind++)
        count += set->known[kind] != 0;
    return count;
}

bool resources_empty(const ResourceSet *set) {
    return resources_count(set) == 0;
}

bool resources_equal(const ResourceSet *a, const ResourceSet *b) {
    if (memcmp(a->known, b->known, sizeof(a->known)) != 0 || a->custom_len != b->custom_len)
        return false;
    for (uint32_t i = 0; i < a->custom_len; i++)
        if (a->custom[i].quantity != b->custom[i].quantity ||
            !str_eq(a->custom[i].name, b->custom[i].name))
            return false;
    return true;
}

uint64_t resources_hash(const ResourceSet *set) {
    uint64_t hash = base_hash(set->known, sizeof(set->known));
    for (uint32_t i = 0; i < set->custom_len; i++) {
        uint64_t parts[3] = { hash, base_hash(set->custom[i].name, strlen(set->custom[i].name)),
                              (uint64_t)set->custom[i].quantity };
        hash = base_hash(parts, sizeof(parts));
    }
    return hash;
}

/* The place of `name`, or where it would go. */
static uint32_t custom_lower_bound(const ResourceSet *set, const char *name, bool *ret_found) {
    uint32_t low = 0, high = set->custom_len;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int order = strcmp(set->custom[mid].name, name);
        if (order == 0) {
            *ret_found = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_found = false;
    return low;
}

static void custom_remove(ResourceSet *set, uint32_t at) {
    free(set->custom[at].name);
    memmove(&set->custom[at], &set->custom[at + 1],
            (set->custom_len - at - 1) * sizeof(*set->custom));
    set->custom_len--;
}

static void custom_insert(ResourceSet *set, uint32_t at, const char *name, Quantity quantity) {
    if (set->custom_len == set->custom_cap) {
        set->custom_cap = MAX(set->custom_cap * 2, 4u);
        set->custom = mem_realloc(set->custom, set->custom_cap * sizeof(*set->custom));
    }
    memmove(&set->custom[at + 1], &set->custom[at], (set->custom_len - at) * sizeof(*set->custom));
    set->custom[at] = (CustomResource){ .name = str_dup(name), .quantity = quantity };
    set->custom_len++;
}

Quantity resources_get(const ResourceSet *set, const char *name) {
    int kind = known_kind(name);
    if (kind >= 0)
        return set->known[kind];
    bool found;
    uint32_t at = custom_lower_bound(set, name, &found);
    return found ? set->custom[at].quantity : 0;
}

int resources_set(ResourceSet *set, const char *name, Quantity quantity) {
    size_t len = strnlen(name, RESOURCE_NAME_MAX + 1);
    if (len == 0 || len > RESOURCE_NAME_MAX)
        return error_origin(-EINVAL, "a resource name has 1 to %d characters", RESOURCE_NAME_MAX);
    if (quantity > QUANTITY_MAX || quantity < -QUANTITY_MAX)
        return error_origin(-ERANGE, "the quantity of resource %s is too large", name);

    int kind = known_kind(name);
    if (kind >= 0) {
        set->known[kind] = quantity;
        return 0;
    }
    bool found;
    uint32_t at = custom_lower_bound(set, name, &found);
    if (found && quantity == 0) {
        custom_remove(set, at);
    } else if (found) {
        set->custom[at].quantity = quantity;
    } else if (quantity != 0) {
        if (set->custom_len >= RESOURCE_CUSTOM_MAX)
            return error_origin(-E2BIG, "more than %d custom resources", RESOURCE_CUSTOM_MAX);
        custom_insert(set, at, name, quantity);
    }
    return 0;
}

bool resources_at(const ResourceSet *set, size_t i, const char **ret_name, Quantity *ret_quantity) {
    for (int kind = 0; kind < RESOURCE_KINDS; kind++) {
        if (set->known[kind] == 0 || i-- > 0)
            continue;
        *ret_name = known_names[kind];
        *ret_quantity = set->known[kind];
        return true;
    }
    if (i >= set->custom_len)
        return false;
    *ret_name = set->custom[i].name;
    *ret_quantity = set->custom[i].quantity;
    return true;
}

bool resources_fit(const ResourceSet *have, const ResourceSet *want) {
    for (int kind = 0; kind < RESOURCE_KINDS; kind++)
        if (want->known[kind] > 0 && want->known[kind] > have->known[kind])
            return false;
    for (uint32_t i = 0; i < want->custom_len; i++) {
        bool found;
        uint32_t at = custom_lower_bound(have, want->custom[i].name, &found);
        if (want->custom[i].quantity > (found ? have->custom[at].quantity : 0))
            return false;
    }
    return true;
}

static Quantity clamp_quantity(Quantity q) {
    return CLAMP(q, -QUANTITY_MAX, QUANTITY_MAX);
}

static void resources_change(ResourceSet *to, const ResourceSet *what, int sign) {
    for (int kind = 0; kind < RESOURCE_KINDS; kind++)
        to->known[kind] = clamp_quantity(to->known[kind] + sign * what->known[kind]);
    for (uint32_t i = 0; i < what->custom_len; i++) {
        bool found;
        uint32_t at = custom_lower_bound(to, what->custom[i].name, &found);
        Quantity sum =
            clamp_quantity((found ? to->custom[at].quantity : 0) + sign * what->custom[i].quantity);
        if (!found)
            custom_insert(to, at, what->custom[i].name, sum);
        else if (sum == 0)
            custom_remove(to, at);
        else
            to->custom[at].quantity = sum;
    }
}

void resources_add(ResourceSet *to, const ResourceSet *what) {
    resources_change(to, what, 1);
}

void resources_sub(ResourceSet *from, const ResourceSet *what) {
    resources_change(from, what, -1);
}

int quantity_from_double(double value, Quantity *ret_quantity) {
    if (!isfinite(value) || value < 0)
        return error_origin(-EINVAL, "a resource quantity is a number that is not negative");
    double scaled = value * (double)QUANTITY_ONE;
    if (scaled > (double)QUANTITY_MAX)
        return error_origin(-ERANGE, "the resource quantity %g is too large", value);
    Quantity q = (Quantity)llround(scaled);
    *ret_quantity = q == 0 && value > 0 ? 1 : q;
    return 0;
}

int resource_quantity_parse(const char *text, Quantity *ret_quantity) {
    double value;
    int r = str_to_double(text, &value);
    if (r < 0)
        return error_origin(-EINVAL, "'%.40s' is not a resource quantity, e.g. 1 or 0.5", text);
    return quantity_from_double(value, ret_quantity);
}

void resource_quantity_format(Quantity quantity, Buf *out) {
    uint64_t magnitude = quantity < 0 ? -(uint64_t)quantity : (uint64_t)quantity;
    uint64_t whole = magnitude / QUANTITY_ONE, part = magnitude % QUANTITY_ONE;
    char digits[8];
    snprintf(digits, sizeof(digits), "%04llu", (unsigned long long)part);
    size_t len = 4;
    while (len > 1 && digits[len - 1] == '0')
        len--;
    buf_printf(out, "%s%llu.%.*s", quantity < 0 ? "-" : "", (unsigned long long)whole, (int)len,
               digits);
}

void resources_format(const ResourceSet *set, Buf *out) {
    const char *name;
    Quantity quantity;
    buf_add_char(out, '{');
    for (size_t i = 0; resources_at(set, i, &name, &quantity); i++) {
        buf_printf(out, "%s'%s': ", i ? ", " : "", name);
        resource_quantity_format(quantity, out);
    }
    buf_add_char(out, '}');
}
