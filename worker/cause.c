#include "worker/cause.h"

#include <stdio.h>

static const struct cause {
    CURLcode code;
    enum result_code failure;
    const char *text; /* %s: the host */
    bool detail;      /* curl's own words say more */
} causes[] = {
    {CURLE_COULDNT_RESOLVE_HOST, RESULT_DNS_FAILURE, "no address is known for the host %s", false},
    {CURLE_COULDNT_CONNECT, RESULT_NETWORK_UNREACHABLE, "cannot connect to %s", false},
    {CURLE_SSL_CONNECT_ERROR, RESULT_TLS_ERROR, "no TLS connection with %s", true},
    {CURLE_PEER_FAILED_VERIFICATION, RESULT_TLS_ERROR, "the certificate of %s cannot be trusted", true},
    {CURLE_SSL_CERTPROBLEM, RESULT_TLS_ERROR, "no TLS connection with %s", true},
    {CURLE_SSL_CIPHER, RESULT_TLS_ERROR, "no TLS connection with %s", true},
    {CURLE_SSL_CACERT_BADFILE, RESULT_TLS_ERROR, "no trusted certificates to check %s with", true},
    {CURLE_GOT_NOTHING, RESULT_PROVIDER_UNAVAILABLE, "%s closed the connection without an answer", false},
    {CURLE_RECV_ERROR, RESULT_PROVIDER_UNAVAILABLE, "the connection to %s broke before the answer was whole",
     false},
    {CURLE_SEND_ERROR, RESULT_PROVIDER_UNAVAILABLE, "the connection to %s broke during the request", false},
    {CURLE_PARTIAL_FILE, RESULT_PROVIDER_UNAVAILABLE,
     "the connection to %s broke before the answer was whole", false},
    {CURLE_HTTP2, RESULT_PROVIDER_UNAVAILABLE, "the connection to %s broke before the answer was whole",
     false},
    {CURLE_HTTP2_STREAM, RESULT_PROVIDER_UNAVAILABLE,
     "the connection to %s broke before the answer was whole", false},
    {CURLE_WEIRD_SERVER_REPLY, RESULT_UNEXPECTED_RESPONSE, "%s does not answer in HTTP", false},
    {CURLE_UNSUPPORTED_PROTOCOL, RESULT_UNEXPECTED_RESPONSE, "%s does not answer in HTTP", false},
    {CURLE_BAD_CONTENT_ENCODING, RESULT_UNEXPECTED_RESPONSE, "%s sent an answer that cannot be decompressed",
     false},
    {CURLE_WRITE_ERROR, RESULT_UNEXPECTED_RESPONSE, "%s sent an answer that cannot be decompressed", false},
    {CURLE_OUT_OF_MEMORY, RESULT_INTERNAL, "no memory for a request to %s", false},
};

static const struct cause *find_cause(CURLcode code)
{
    static const struct cause other = {CURLE_OK, RESULT_INTERNAL, "the request to %s failed", true};
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
        if (causes[i].code == code)
            return &causes[i];
    return &other;
}

enum result_code cause_of(CURLcode code, const char *host, const char *detail, char *text, size_t size)
{
    const struct cause *cause = find_cause(code);
    char sentence[512];
    snprintf(sentence, sizeof sentence, cause->text, host);
    const char *more = cause->detail ? detail : "";
    snprintf(text, size, "%s%s%s", sentence, more[0] ? ": " : "", more);
    return cause->failure;
}
