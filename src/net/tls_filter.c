/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS on a stream. OpenSSL reads from the bytes that were just received and writes into
 * Stream.wire through a BIO of ours, so it never blocks and never sees a socket.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "net/stream.h"
#include "net/stream_private.h"
#include "net/tls_private.h"

enum {
    RECORD_SIZE = 16 * 1024,
    WIRE_AHEAD = 64 * 1024 /* encrypted ahead of the socket */
};

struct TlsFilter {
    SSL *ssl;
    TlsContext *context;
    Slice received; /* what the BIO may read now */
    char *server_name;
    TlsPeer peer;
    bool peer_known;
    char *alpn;
};

static int bio_write(BIO *bio, const char *data, int len) {
    Stream *stream = BIO_get_data(bio);
    buf_add(&stream->wire, data, (size_t)len);
    return len;
}

static int bio_read(BIO *bio, char *out, int room) {
    Stream *stream = BIO_get_data(bio);
    Slice *received = &stream->tls->received;
    BIO_clear_retry_flags(bio);
    size_t len = MIN((size_t)room, received->len);
    if (len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, received->data, len);
    received->data += len;
    received->len -= len;
    return (int)len;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
    UNUSED(bio);
    UNUSED(number);
    UNUSED(pointer);
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tls_filter_bio_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    ASSERT(method);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_ctrl(method, bio_control);
    return method;
}

void tls_filter_free(TlsFilter *filter) {
    if (!filter)
        return;
    SSL_free(filter->ssl);
    tls_context_unref(filter->context);
    tls_peer_done(&filter->peer);
    mem_free(filter->server_name);
    mem_free(filter->alpn);
    mem_free(filter);
}

static int expect_name(TlsFilter *filter, const char *name) {
    unsigned char number[16];
    bool is_ip = inet_pton(AF_INET, name, number) == 1 || inet_pton(AF_INET6, name, number) == 1;
    if (!is_ip && SSL_set_tlsext_host_name(filter->ssl, name) != 1)
        return tls_error(-EINVAL, "TLS: unusable server name");
    if (filter->context->insecure)
        return 0;
    int ok = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(filter->ssl), name)
                   : SSL_set1_host(filter->ssl, name);
    return ok == 1 ? 0 : tls_error(-EINVAL, "TLS: unusable server name");
}

int stream_start_tls(Stream *stream, TlsContext *context, const char *server_name, usec_t timeout) {
    ASSERT(!stream->tls && stream->out_len == 0 && stream->input.len == stream->input_at);
    if (!context->server && !context->insecure && !server_name)
        return error_origin(-EINVAL, "TLS: no server name to check the certificate against");
    ERR_clear_error();
    TlsFilter *filter = mem_new(TlsFilter);
    filter->context = tls_context_ref(context);
    filter->ssl = SSL_new(context->ssl);
    BIO *bio = BIO_new(context->bio);
    ASSERT(filter->ssl && bio);
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(filter->ssl, bio, bio);
    if (context->server)
        SSL_set_accept_state(filter->ssl);
    else
        SSL_set_connect_state(filter->ssl);
    int r = server_name && !context->server ? expect_name(filter, server_name) : 0;
    if (r < 0) {
        tls_filter_free(filter);
        return r;
    }
    filter->server_name = str_dup(server_name);
    stream->tls = filter;
    stream->handshake_timeout = timeout;
    if (stream->dial) /* the handshake follows the connect */
        return 0;
    stream->handshaking = true;
    stream->open_deadline = loop_deadline(stream->loop, timeout);
    stream_timer_update(stream);
    stream_update(stream);
    if (!context->server) {
        r = tls_filter_handshake(stream);
        if (r < 0)
            stream_fail(stream, r);
    }
    return 0;
}

static void learn_names(X509_NAME *subject, TlsPeer *peer) {
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    for (int entry = at; entry >= 0; entry = -1) {
        unsigned char *text = NULL;
        int len = ASN1_STRING_to_UTF8(
            &text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, entry)));
        if (len >= 0)
            peer->common_name = str_dup_slice((Slice){ (char *)text, (size_t)len });
        OPENSSL_free(text);
    }
    for (at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_organizationName, at)) >= 0;) {
        unsigned char *text = NULL;
        int len =
            ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
        if (len >= 0)
            strlist_take(&peer->organizations, str_dup_slice((Slice){ (char *)text, (size_t)len }));
        OPENSSL_free(text);
    }
    if (!peer->common_name)
        peer->common_name = str_dup("");
}

/* An embedded NUL would make "admin\0x" look like "admin": str_dup_slice copies up to the length,
 * comparisons stop at the NUL; so such names are refused. */
static bool name_has_nul(X509_NAME *subject) {
    for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
        unsigned char *text = NULL;
        int len =
            ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
        bool bad = len >= 0 && memchr(text, 0, (size_t)len);
        OPENSSL_free(text);
        if (bad)
            return true;
    }
    return false;
}

static int learn_peer(TlsFilter *filter) {
    const unsigned char *alpn = NULL;
    unsigned int alpn_len = 0;
    SSL_get0_alpn_selected(filter->ssl, &alpn, &alpn_len);
    if (alpn_len)
        filter->alpn = str_dup_slice((Slice){ (const char *)alpn, alpn_len });
    X509 *cert = SSL_get0_peer_certificate(filter->ssl);
    bool checked = SSL_get_verify_mode(filter->ssl) != SSL_VERIFY_NONE &&
                   SSL_get_verify_result(filter->ssl) == X509_V_OK;
    if (!cert || !checked)
        return 0;
    if (name_has_nul(X509_get_subject_name(cert)))
        return error_origin(-EPROTO, "TLS: the peer's certificate has a NUL in its name");
    learn_names(X509_get_subject_name(cert), &filter->peer);
    filter->peer_known = true;
    return 0;
}

static int handshake_error(TlsFilter *filter, int error) {
    long verify = SSL_get_verify_result(filter->ssl);
    if (error == SSL_ERROR_SSL && verify != X509_V_OK) {
        ERR_clear_error();
        return error_origin(-EPROTO, "TLS: the certificate of %s is not accepted: %s",
                            filter->server_name ? filter->server_name : "the peer",
                            X509_verify_cert_error_string(verify));
    }
    return tls_error(-EPROTO, "TLS handshake");
}

int tls_filter_handshake(Stream *stream) {
    TlsFilter *filter = stream->tls;
    ERR_clear_error();
    int done = SSL_do_handshake(filter->ssl);
    stream_wake(stream); /* what it wrote must leave */
    if (done == 1) {
        int r = learn_peer(filter);
        if (r == 0)
            stream_opened(stream);
        return r;
    }
    int error = SSL_get_error(filter->ssl, done);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return 0;
    int r = handshake_error(filter, error);
    stream_out_flush(stream); /* the alert that tells the peer why */
    return r;
}

static int read_plain(Stream *stream) {
    TlsFilter *filter = stream->tls;
    char plain[RECORD_SIZE];
    for (;;) {
        ERR_clear_error();
        int n = SSL_read(filter->ssl, plain, sizeof(plain));
        if (n > 0) {
            stream_input_add(stream, plain, (size_t)n);
            continue;
        }
        switch (SSL_get_error(filter->ssl, n)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE:
            if (stream->wire.len > stream->wire_at)
                stream_wake(stream); /* key updates, tickets */
            return 0;
        case SSL_ERROR_ZERO_RETURN:
            if (!stream->eof)
                stream->eof = stream->tell_eof = true;
            return 0;
        default:
            return tls_error(-EPROTO, "TLS: read from peer");
        }
    }
}

int tls_filter_take(Stream *stream, const void *data, size_t len) {
    TlsFilter *filter = stream->tls;
    filter->received = (Slice){ data, len };
    int r = stream->handshaking ? tls_filter_handshake(stream) : 0;
    if (r == 0 && !stream->handshaking)
        r = read_plain(stream);
    filter->received = (Slice){ 0 };
    return r;
}

int tls_filter_encrypt(Stream *stream) {
    char plain[RECORD_SIZE];
    while (stream->out_len && stream->wire.len - stream->wire_at < WIRE_AHEAD) {
        size_t len = stream_out_take(stream, plain, sizeof(plain));
        ERR_clear_error();
        if (SSL_write(stream->tls->ssl, plain, (int)len) != (int)len)
            return tls_error(-EPROTO, "TLS: write to peer");
    }
    return 0;
}

void tls_filter_goodbye(Stream *stream) {
    ERR_clear_error();
    (void)SSL_shutdown(stream->tls->ssl); /* one direction: we do not wait for theirs */
    ERR_clear_error();
}

bool stream_is_tls(const Stream *stream) {
    return stream->tls != NULL;
}

const char *stream_alpn(const Stream *stream) {
    return stream->tls ? stream->tls->alpn : NULL;
}

const TlsPeer *stream_tls_peer(const Stream *stream) {
    return stream->tls && stream->tls->peer_known ? &stream->tls->peer : NULL;
}
