/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Names and labels. Each check returns NULL if the text is good, else the sentence that
 * Kubernetes' API server gives (static, borrowed for life), to be put behind `Invalid value`.
 */

#include "base/base.h"

const char *name_check_dns1123_label(const char *text);     /* pod containers, namespaces */
const char *name_check_dns1123_subdomain(const char *text); /* most metadata.name */
const char *name_check_dns1035_label(const char *text);     /* services */
const char *name_check_path_segment(const char *text);      /* RBAC names */
const char *name_check_env_var(const char *text);
const char *name_check_config_key(const char *text);        /* keys of ConfigMap and Secret data */
const char *name_check_qualified(const char *text); /* label and annotation keys, finalizers */
const char *name_check_label_value(const char *text);

/* IANA service names. Kubernetes tells every fault of these: the n-th one, from 0, or NULL. */
const char *name_check_port_name(const char *text, size_t n);

/* Appends five characters from Kubernetes' alphabet to the (shortened) base: the name for
 * generateName. `random` is 64 bits from the caller. Owned. */
char *name_generate(const char *base, uint64_t random);
