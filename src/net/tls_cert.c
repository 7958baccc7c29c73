/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for clusters that live on one machine. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/mem.h"
#include "net/tls_private.h"

enum {
    CLOCK_SKEW_SECONDS = 300 /* valid a little before now, for clocks that are behind */
};

DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);
DEFINE_CLEANUP(BIO *, BIO_free);

static char *bio_text(BIO *bio) {
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    return str_dup_slice((Slice){ data, (size_t)len });
}

static char *cert_to_pem(X509 *cert) {
    _cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
    ASSERT(bio && PEM_write_bio_X509(bio, cert) == 1);
    return bio_text(bio);
}

static char *key_to_pem(EVP_PKEY *key) {
    _cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
    ASSERT(bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    return bio_text(bio);
}

static int add_extension(X509 *cert, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (!extension)
        return tls_error(-EINVAL, "certificate extension");
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
    return 0;
}

static int add_hosts(X509 *cert, X509 *issuer, const char *const *hosts) {
    _cleanup_buf_ Buf names = { 0 };
    for (; hosts && *hosts; hosts++) {
        unsigned char number[16];
        bool is_ip =
            inet_pton(AF_INET, *hosts, number) == 1 || inet_pton(AF_INET6, *hosts, number) == 1;
        if (strpbrk(*hosts, ", \t\n"))
            return error_origin(-EINVAL, "certificate: bad host name \"%s\"", *hosts);
        buf_printf(&names, "%s%s:%s", names.len ? "," : "", is_ip ? "IP" : "DNS", *hosts);
    }
    return names.len ? add_extension(cert, issuer, NID_subject_alt_name, names.data) : 0;
}

static int add_usage(X509 *cert, X509 *issuer, const TlsCertSpec *spec) {
    bool authority = !spec->issuer_cert_pem;
    const char *extended = spec->server && spec->client ? "serverAuth,clientAuth"
                           : spec->server               ? "serverAuth"
                                                        : "clientAuth";
    int r = add_extension(cert, issuer, NID_basic_constraints,
                          authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (r == 0)
        r = add_extension(cert, issuer, NID_key_usage,
                          authority ? "critical,keyCertSign,cRLSign,digitalSignature"
                                    : "critical,digitalSignature");
    if (r == 0 && !authority && (spec->server || spec->client))
        r = add_extension(cert, issuer, NID_ext_key_usage, extended);
    if (r == 0)
        r = add_extension(cert, issuer, NID_subject_key_identifier, "hash");
    if (r == 0 && !authority)
        r = add_extension(cert, issuer, NID_authority_key_identifier, "keyid");
    return r < 0 ? r : add_hosts(cert, issuer, spec->hosts);
}

static void add_name(X509_NAME *name, int nid, const char *value) {
    X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0);
}

static void set_subject(X509 *cert, const TlsCertSpec *spec) {
    X509_NAME *name = X509_get_subject_name(cert);
    for (const char *const *o = spec->organizations; o && *o; o++)
        add_name(name, NID_organizationName, *o);
    add_name(name, NID_commonName, spec->common_name);
}

static void set_serial(X509 *cert) {
    unsigned char random[16];
    mem_random(random, sizeof(random));
    random[0] &= 0x7f; /* positive */
    BIGNUM *number = BN_bin2bn(random, sizeof(random), NULL);
    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
}

static void set_times(X509 *cert, const TlsCertSpec *spec) {
    time_t now = (time_t)(spec->wall_now / USEC_PER_SEC);
    ASN1_TIME_set(X509_getm_notBefore(cert), now - CLOCK_SKEW_SECONDS);
    ASN1_TIME_set(X509_getm_notAfter(cert), now + (time_t)(spec->valid / USEC_PER_SEC));
}

int tls_cert_make(const TlsCertSpec *spec, char **ret_cert_pem, char **ret_key_pem) {
    _cleanup_(X509_freep) X509 *issuer = NULL;
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *issuer_key = NULL;
    if (spec->issuer_cert_pem) {
        int r = tls_read_cert(spec->issuer_cert_pem, &issuer);
        if (r == 0)
            r = tls_read_key(spec->issuer_key_pem, &issuer_key);
        if (r < 0)
            return r;
    }
    ERR_clear_error();
    _cleanup_(X509_freep) X509 *cert = X509_new();
    _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!cert || !key)
        return tls_error(-EIO, "make a certificate");
    X509_set_version(cert, X509_VERSION_3);
    set_serial(cert);
    set_times(cert, spec);
    set_subject(cert, spec);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert));
    X509_set_pubkey(cert, key);
    int r = add_usage(cert, issuer ? issuer : cert, spec);
    if (r < 0)
        return r;
    if (X509_sign(cert, issuer_key ? issuer_key : key, EVP_sha256()) == 0)
        return tls_error(-EIO, "sign a certificate");
    *ret_cert_pem = cert_to_pem(cert);
    *ret_key_pem = key_to_pem(key);
    return 0;
}
