/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How to reach an API server and who we are there: from a kubeconfig file or from inside a pod.
 * Tokens that live in files are read again when they may have changed (Kubernetes rotates them).
 */

#include "base/base.h"
#include "base/error.h"
#include "net/http_client.h"

typedef struct KubeConfig {
    char *server;    /* "https://host:port", maybe with a path, without a slash at the end */
    char *namespace; /* of the context; "default" if it names none */
    char *context;   /* name, "" inside a pod */
    char *ca_pem, *cert_pem, *key_pem;
    char *tls_server_name;
    char *token;       /* NULL: none, or in the file */
    char *token_file;  /* read by kube_config_token() */
    bool insecure;
    usec_t token_read; /* when the file was read last */
} KubeConfig;

/* `path` NULL: $KUBECONFIG (its first file that exists), else ~/.kube/config. `context` NULL: the
 * current one. -EINVAL with the field's path for what is malformed; exec and auth-provider plugins
 * are -ENOTSUP and named. */
_must_check_ int kube_config_load(const char *path, const char *context, KubeConfig *ret_config);
/* The same from a text; relative paths in it are below `folder`. */
_must_check_ int kube_config_parse(const char *text, size_t len, const char *folder,
                                   const char *context, KubeConfig *ret_config);
/* The ServiceAccount of the pod that we run in. -ENOENT outside one. */
_must_check_ int kube_config_in_cluster(KubeConfig *ret_config);
/* An explicit path or context, else the pod's account if there is one, else the user's file. */
_must_check_ int kube_config_auto(const char *path, const char *context, KubeConfig *ret_config);
void kube_config_done(KubeConfig *config);

/* The bearer token as of now (files at most a minute old), or NULL. Borrowed until the next call. */
const char *kube_config_token(KubeConfig *config, usec_t now);
