#include "cert.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { VALID_SECONDS = 30 * 24 * 3600, SKEW_SECONDS = 3600, SERIAL_BYTES = 16, KEY_ID_BYTES = 64 };

/* A certificate and its private key, while they are being made. */
struct pair {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
};

static int pair_init(struct pair *p)
{
    int rc = gnutls_x509_privkey_init(&p->key);
    if (!rc)
        rc = gnutls_x509_privkey_generate(p->key, GNUTLS_PK_EC,
                                          GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    if (!rc)
        rc = gnutls_x509_crt_init(&p->crt);
    return rc;
}

static void pair_fini(struct pair *p)
{
    if (p->crt)
        gnutls_x509_crt_deinit(p->crt);
    if (p->key)
        gnutls_x509_privkey_deinit(p->key);
}

static int set_serial(gnutls_x509_crt_t crt)
{
    unsigned char serial[SERIAL_BYTES];
    int rc = gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial);
    if (rc)
        return rc;
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x01); /* a positive number without leading zeros */
    return gnutls_x509_crt_set_serial(crt, serial, sizeof serial);
}

static int set_key_id(gnutls_x509_crt_t crt)
{
    unsigned char id[KEY_ID_BYTES];
    size_t length = sizeof id;
    int rc = gnutls_x509_crt_get_key_id(crt, 0, id, &length);
    return rc ? rc : gnutls_x509_crt_set_subject_key_id(crt, id, length);
}

static int set_common(struct pair *p, const char *name)
{
    time_t now = time(NULL);
    int rc = gnutls_x509_crt_set_version(p->crt, 3);
    if (!rc)
        rc = set_serial(p->crt);
    if (!rc)
        rc = gnutls_x509_crt_set_activation_time(p->crt, now - SKEW_SECONDS);
    if (!rc)
        rc = gnutls_x509_crt_set_expiration_time(p->crt, now + VALID_SECONDS);
    if (!rc)
        rc = gnutls_x509_crt_set_dn_by_oid(p->crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                           (unsigned)strlen(name));
    if (!rc)
        rc = gnutls_x509_crt_set_key(p->crt, p->key);
    return rc ? rc : set_key_id(p->crt);
}

static int set_names(gnutls_x509_crt_t crt, const char *const *names, size_t count)
{
    static const unsigned char loopback[] = {127, 0, 0, 1};
    int rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, loopback, sizeof loopback,
                                                  GNUTLS_FSAN_SET);
    for (size_t i = 0; !rc && i < count; i++)
        rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, names[i],
                                                  (unsigned)strlen(names[i]), GNUTLS_FSAN_APPEND);
    return rc;
}

static int make_ca(struct pair *ca)
{
    int rc = pair_init(ca);
    if (!rc)
        rc = set_common(ca, "Patchbay sandbox CA");
    if (!rc)
        rc = gnutls_x509_crt_set_basic_constraints(ca->crt, 1, 0);
    if (!rc)
        rc = gnutls_x509_crt_set_key_usage(ca->crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN);
    return rc ? rc : gnutls_x509_crt_sign2(ca->crt, ca->crt, ca->key, GNUTLS_DIG_SHA256, 0);
}

static int make_leaf(struct pair *leaf, const struct pair *ca, const char *const *names, size_t count)
{
    int rc = pair_init(leaf);
    if (!rc)
        rc = set_common(leaf, "Patchbay sandbox");
    if (!rc)
        rc = gnutls_x509_crt_set_basic_constraints(leaf->crt, 0, -1);
    if (!rc)
        rc = gnutls_x509_crt_set_key_usage(leaf->crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (!rc)
        rc = gnutls_x509_crt_set_key_purpose_oid(leaf->crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
    if (!rc)
        rc = set_names(leaf->crt, names, count);
    return rc ? rc : gnutls_x509_crt_sign2(leaf->crt, ca->crt, ca->key, GNUTLS_DIG_SHA256, 0);
}

/* Copies, because what gnutls allocates is not free()'s. */
static int take_text(gnutls_datum_t *pem, char **out)
{
    *out = strndup((const char *)pem->data, pem->size);
    gnutls_free(pem->data);
    return *out ? 0 : GNUTLS_E_MEMORY_ERROR;
}

static int export_crt(gnutls_x509_crt_t crt, char **out)
{
    gnutls_datum_t pem = {0};
    int rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem);
    return rc < 0 ? rc : take_text(&pem, out);
}

static int export_key(gnutls_x509_privkey_t key, char **out)
{
    gnutls_datum_t pem = {0};
    int rc = gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem);
    return rc < 0 ? rc : take_text(&pem, out);
}

bool cert_make(struct cert *c, const char *const *names, size_t count, const char **error)
{
    struct pair ca = {0}, leaf = {0};
    struct cert made = {0};
    int rc = make_ca(&ca);
    if (!rc)
        rc = make_leaf(&leaf, &ca, names, count);
    if (!rc)
        rc = export_crt(ca.crt, &made.ca_pem);
    if (!rc)
        rc = export_crt(leaf.crt, &made.leaf_pem);
    if (!rc)
        rc = export_key(leaf.key, &made.leaf_key_pem);
    pair_fini(&leaf);
    pair_fini(&ca);
    if (rc) {
        *error = gnutls_strerror(rc);
        cert_fini(&made);
        return false;
    }
    *c = made;
    return true;
}

void cert_fini(struct cert *c)
{
    free(c->ca_pem);
    free(c->leaf_pem);
    free(c->leaf_key_pem);
    *c = (struct cert){0};
}
