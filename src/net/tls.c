/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts: what a role trusts and shows. The bytes are tls_filter.c's. */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/fd.h"
#include "base/mem.h"
#include "net/tls_private.h"

enum {
    PEM_MAX = 1024 * 1024
};

int tls_error(int code, const char *what) {
    char text[256] = "no reason given";
    unsigned long first = ERR_get_error();
    if (first)
        ERR_error_string_n(first, text, sizeof(text));
    ERR_clear_error();
    return error_origin(code, "%s: %s", what, text);
}

static BIO *pem_bio(const char *pem) {
    BIO *bio = BIO_new_mem_buf(pem, (int)MIN(strlen(pem), (size_t)PEM_MAX));
    ASSERT(bio);
    return bio;
}

int tls_read_cert(const char *pem, X509 **ret_cert) {
    ERR_clear_error();
    BIO *bio = pem_bio(pem);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (!cert)
        return tls_error(-EINVAL, "read a PEM certificate");
    *ret_cert = cert;
    return 0;
}

/* Keys with a passphrase are refused rather than asked for on the terminal. */
static int no_passphrase(char *out, int room, int writing, void *ctx) {
    UNUSED(out);
    UNUSED(room);
    UNUSED(writing);
    UNUSED(ctx);
    return -1;
}

int tls_read_key(const char *pem, EVP_PKEY **ret_key) {
    ERR_clear_error();
    BIO *bio = pem_bio(pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    if (!key)
        return tls_error(-EINVAL, "read a PEM private key");
    *ret_key = key;
    return 0;
}

/* The leaf and its chain. */
static int use_certificates(SSL_CTX *ssl, const char *pem) {
    BIO *bio = pem_bio(pem);
    X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
    int ok = cert && SSL_CTX_use_certificate(ssl, cert) == 1;
    X509_free(cert);
    while (ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        if (!(ok = SSL_CTX_add0_chain_cert(ssl, cert) == 1))
            X509_free(cert);
    BIO_free(bio);
    if (!ok)
        return tls_error(-EINVAL, "read the PEM certificate chain");
    ERR_clear_error(); /* the end of the text is an "error" too */
    return 0;
}

static int use_identity(SSL_CTX *ssl, const TlsOptions *options) {
    if (!options->cert_pem && !options->key_pem)
        return options->server ? error_origin(-EINVAL, "a TLS server needs a certificate and a key")
                               : 0;
    if (!options->cert_pem || !options->key_pem)
        return error_origin(-EINVAL, "TLS: a certificate needs its key, and a key its certificate");
    int r = use_certificates(ssl, options->cert_pem);
    if (r < 0)
        return r;
    EVP_PKEY *key = NULL;
    r = tls_read_key(options->key_pem, &key);
    if (r < 0)
        return r;
    int ok = SSL_CTX_use_PrivateKey(ssl, key);
    EVP_PKEY_free(key);
    return ok == 1 ? 0 : tls_error(-EINVAL, "the TLS key does not belong to the certificate");
}

static int trust(SSL_CTX *ssl, const char *ca_pem, bool tell_clients) {
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    BIO *bio = pem_bio(ca_pem);
    X509 *cert;
    size_t count = 0;
    for (; (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)); count++) {
        X509_STORE_add_cert(store, cert);
        if (tell_clients)
            SSL_CTX_add_client_CA(ssl, cert);
        X509_free(cert);
    }
    BIO_free(bio);
    if (count == 0)
        return tls_error(-EINVAL, "read the PEM certificates of the authority");
    ERR_clear_error();
    return 0;
}

static int use_trust(SSL_CTX *ssl, const TlsOptions *options) {
    int mode = SSL_VERIFY_NONE;
    if (options->server && options->ca_pem)
        mode =
            SSL_VERIFY_PEER | (options->require_client_cert ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    if (!options->server && !options->insecure)
        mode = SSL_VERIFY_PEER;
    SSL_CTX_set_verify(ssl, mode, NULL);
    if (options->ca_pem)
        return trust(ssl, options->ca_pem, options->server);
    if (mode != SSL_VERIFY_NONE && SSL_CTX_set_default_verify_paths(ssl) != 1)
        return tls_error(-EIO, "load the system's certificate authorities");
    return 0;
}

/* "h2,http/1.1" to length-prefixed names. */
static int alpn_encode(const char *names, unsigned char **ret_wire, size_t *ret_len) {
    unsigned char *wire = mem_alloc(strlen(names) + 2);
    size_t len = 0;
    for (const char *at = names; *at;) {
        size_t name = strcspn(at, ",");
        if (name == 0 || name > 255) {
            mem_free(wire);
            return error_origin(-EINVAL, "TLS: bad protocol list \"%s\"", names);
        }
        wire[len++] = (unsigned char)name;
        memcpy(wire + len, at, name);
        len += name;
        at += name + (at[name] == ',');
    }
    *ret_wire = wire;
    *ret_len = len;
    return 0;
}

static int alpn_choose(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *offered, unsigned int offered_len, void *ctx) {
    UNUSED(ssl);
    TlsContext *context = ctx;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, context->alpn, (unsigned)context->alpn_len, offered,
                              offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK; /* nothing in common: go on without */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int use_alpn(TlsContext *context, const char *names) {
    if (!names)
        return 0;
    int r = alpn_encode(names, &context->alpn, &context->alpn_len);
    if (r < 0)
        return r;
    if (context->server)
        SSL_CTX_set_alpn_select_cb(context->ssl, alpn_choose, context);
    else
        ASSERT(SSL_CTX_set_alpn_protos(context->ssl, context->alpn, (unsigned)context->alpn_len) ==
               0);
    return 0;
}

static void use_rules(SSL_CTX *ssl) {
    static const unsigned char session_context[] = "mobula";
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(ssl, session_context, sizeof(session_context) - 1);
}

int tls_context_new(const TlsOptions *options, TlsContext **ret_context) {
    ERR_clear_error();
    _cleanup_(tls_context_unrefp) TlsContext *context = mem_new(TlsContext);
    context->refs = 1;
    context->server = options->server;
    context->insecure = options->insecure;
    context->bio = tls_filter_bio_method();
    context->ssl = SSL_CTX_new(options->server ? TLS_server_method() : TLS_client_method());
    ASSERT(context->ssl);
    use_rules(context->ssl);
    int r = use_identity(context->ssl, options);
    if (r == 0)
        r = use_trust(context->ssl, options);
    if (r == 0)
        r = use_alpn(context, options->alpn);
    if (r < 0)
        return r;
    *ret_context = TAKE(context);
    return 0;
}

static int read_pem(const char *path, Buf *out, const char **ret_text) {
    *ret_text = NULL;
    if (!path)
        return 0;
    int r = file_read(path, PEM_MAX, out);
    if (r < 0)
        return r;
    *ret_text = out->data;
    return 0;
}

int tls_context_new_files(bool server, const char *cert_path, const char *key_path,
                          const char *ca_path, TlsContext **ret_context) {
    _cleanup_buf_ Buf cert = { 0 };
    _cleanup_buf_ Buf key = { 0 };
    _cleanup_buf_ Buf ca = { 0 };
    TlsOptions options = { .server = server };
    int r = read_pem(cert_path, &cert, &options.cert_pem);
    if (r == 0)
        r = read_pem(key_path, &key, &options.key_pem);
    if (r == 0)
        r = read_pem(ca_path, &ca, &options.ca_pem);
    if (r == 0)
        r = tls_context_new(&options, ret_context);
    if (key.data)
        mem_wipe(key.data, key.len);
    return r;
}

TlsContext *tls_context_ref(TlsContext *context) {
    context->refs++;
    return context;
}

TlsContext *tls_context_unref(TlsContext *context) {
    if (!context || --context->refs > 0)
        return NULL;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->bio);
    mem_free(context->alpn);
    return mem_free(context);
}

void tls_peer_done(TlsPeer *peer) {
    mem_free(peer->common_name);
    strlist_done(&peer->organizations);
    *peer = (TlsPeer){ 0 };
}
