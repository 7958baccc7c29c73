/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <openssl/ssl.h>

#include "net/tls.h"

struct TlsContext {
    size_t refs;
    SSL_CTX *ssl;
    BIO_METHOD *bio;     /* our streams as OpenSSL's wire */
    bool server, insecure;
    unsigned char *alpn; /* wire form */
    size_t alpn_len;
};

/* The oldest OpenSSL error as a sentence; empties the queue. */
int tls_error(int code, const char *what);
/* PEM text to certificates (one at least) and a key; owned. */
int tls_read_cert(const char *pem, X509 **ret_cert);
int tls_read_key(const char *pem, EVP_PKEY **ret_key);
BIO_METHOD *tls_filter_bio_method(void);
