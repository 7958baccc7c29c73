/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * TLS 1.2 and 1.3 over OpenSSL. One TlsContext a role for the life of a daemon; streams share it.
 * Certificates and keys are PEM text, so that kubeconfig's inline data and files are alike
 * (tls_context_new_files() reads files).
 */

#include "base/base.h"
#include "base/error.h"
#include "base/str.h"

typedef struct TlsContext TlsContext;

typedef struct TlsOptions {
    bool server;
    const char *cert_pem;     /* own chain, leaf first; a server must have one */
    const char *key_pem;      /* its key */
    const char *ca_pem;       /* client: whom to trust (NULL: the system's); server: who signs
                                 clients (NULL: client certificates are not asked for) */
    bool require_client_cert; /* server: refuse those without; else they are merely anonymous */
    bool insecure;            /* client: check neither chain nor name */
    const char *alpn;         /* comma-separated, preferred first: "h2,http/1.1"; NULL: none */
} TlsOptions;

_must_check_ int tls_context_new(const TlsOptions *options, TlsContext **ret_context);
/* Paths may be NULL as the texts may. */
_must_check_ int tls_context_new_files(bool server, const char *cert_path, const char *key_path,
                                       const char *ca_path, TlsContext **ret_context);
TlsContext *tls_context_ref(TlsContext *context);
TlsContext *tls_context_unref(TlsContext *context);
DEFINE_CLEANUP(TlsContext *, tls_context_unref);

/* What a checked client certificate says, as Kubernetes reads it: user = CN, groups = O's. */
typedef struct TlsPeer {
    char *common_name; /* "" without one */
    StrList organizations;
} TlsPeer;
void tls_peer_done(TlsPeer *peer);

/* Makes certificates for clusters that live on one machine: EC P-256, PEM out.
 * With `issuer_cert/key` NULL a self-signed CA, else a leaf signed by it. `hosts` (may be NULL)
 * are DNS names and IP numbers, NULL-terminated. Serial numbers are random. */
typedef struct TlsCertSpec {
    const char *common_name;
    const char *const *organizations; /* NULL-terminated or NULL */
    const char *const *hosts;
    bool server, client;              /* extended key usage */
    usec_t wall_now, valid;
    const char *issuer_cert_pem, *issuer_key_pem;
} TlsCertSpec;
_must_check_ int tls_cert_make(const TlsCertSpec *spec, char **ret_cert_pem, char **ret_key_pem);
