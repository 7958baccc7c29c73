/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Amounts as Kubernetes writes them ("500m", "4Gi", "1e3"): exact to a billionth. Finer ones
 * are rounded away from zero; binary ones are capped at 2^63-1, as resource.Quantity does.
 */

#include "base/base.h"
#include "codec/json.h"

typedef enum QuantityFormat {
    QUANTITY_DECIMAL,  /* n u m "" k M G T P E */
    QUANTITY_BINARY,   /* Ki Mi Gi Ti Pi Ei */
    QUANTITY_EXPONENT, /* e3 e6 */
} QuantityFormat;

typedef struct Quantity {
    __int128 nano; /* billionths */
    QuantityFormat format;
} Quantity;

enum {
    QUANTITY_TEXT_MAX = 64
};

#define QUANTITY_ZERO ((Quantity){ 0 })

/* -EINVAL with Kubernetes' own sentence: "quantities must match the regular expression ...". */
_must_check_ int quantity_parse(const char *text, Quantity *ret_quantity);
/* A JSON string or number (both are allowed in manifests). */
_must_check_ int quantity_from_json(const json_t *value, Quantity *ret_quantity);
Quantity quantity_of(int64_t value, QuantityFormat format);
Quantity quantity_of_milli(int64_t milli, QuantityFormat format);

/* Canonical: "1" for "1000m", "1Gi" for "1024Mi", "1500m" for "1.5". */
void quantity_format(Quantity quantity, char out[static QUANTITY_TEXT_MAX]);

int quantity_compare(Quantity a, Quantity b);  /* < 0, 0, > 0 */
Quantity quantity_add(Quantity a, Quantity b); /* in a's format, or b's if a is zero; capped */
Quantity quantity_sub(Quantity a, Quantity b);

Quantity quantity_round_milli(Quantity quantity); /* away from zero: what resource lists keep */
int64_t quantity_ceil(Quantity quantity);         /* up to the next whole: bytes, cores */
int64_t quantity_ceil_milli(Quantity quantity);   /* thousandths, capped */
double quantity_double(Quantity quantity);
