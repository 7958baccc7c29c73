/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The flags of `mobula operator`: those of KubeRay's /manager, written as Go programs take them
 * (`-flag`, `--flag`, `--flag=false`), and the config file that replaces them. */

#include "codec/json.h"
#include "net/address.h"
#include "operator/operator.h"

typedef struct OperatorArgs {
    OperatorOptions options;
    NetAddress metrics, health;
    char *identity;
    StrList texts;  /* what the options borrow */
    json_t *config; /* of --config */
    const char *kubeconfig, *context;
    const char *log_file;
    bool log_json, verbose;
    bool print_crds; /* and do nothing else */
} OperatorArgs;

/* 0, OPTIONS_HELP or OPTIONS_BAD (the reason is on stderr). */
_must_check_ int operator_args_parse(int argc, char **argv, OperatorArgs *ret_args);
void operator_args_done(OperatorArgs *args);
#define _cleanup_operator_args_ _cleanup_(operator_args_done)
