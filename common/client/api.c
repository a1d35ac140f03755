#include "common/client/api.h"

#include <curl/curl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API_CONNECT_MS   5000
#define API_LIMIT_MS     30000 /* for a request that is not asked to wait */
#define API_ANSWER_BYTES (128 * 1024 * 1024)
#define API_HEADER_BYTES 1024

struct api {
    char *url;
    struct secret token;
    CURL *easy; /* kept for its connection */
};

/* One request under way. */
struct exchange {
    CURL *easy;
    struct curl_slist *headers;
    char *url;
    struct buf in;
    bool as_text;
    char error[CURL_ERROR_SIZE];
};

void api_answer_fini(struct api_answer *a)
{
    json_decref(a->body);
    free(a->text);
    *a = (struct api_answer){0};
}

void api_escape(struct buf *out, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (; *text; text++) {
        if (strchr(plain, *text))
            buf_append(out, text, 1);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

/* -- a request -- */

static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct buf *in = arg;
    buf_append(in, bytes, size * count);
    return in->failed ? 0 : size * count;
}

static bool add_header(struct exchange *x, const char *line)
{
    struct curl_slist *longer = curl_slist_append(x->headers, line);
    if (longer)
        x->headers = longer;
    return longer;
}

static bool add_token(struct exchange *x, const struct secret *token)
{
    char line[API_HEADER_BYTES];
    if (!token->data)
        return true;
    snprintf(line, sizeof line, "Authorization: Bearer %s", token->data);
    bool ok = add_header(x, line);
    sodium_memzero(line, sizeof line);
    return ok;
}

static bool add_headers(struct exchange *x, const struct api *a, const struct api_request *r)
{
    char wait[64], type[96];
    snprintf(type, sizeof type, "Content-Type: %s", r->body_type ? r->body_type : "application/json");
    snprintf(wait, sizeof wait, "Prefer: wait=%u", (unsigned)r->wait_s);
    return add_token(x, &a->token) && add_header(x, "Accept: application/json") &&
           (!r->body || add_header(x, type)) && add_header(x, "Expect:") &&
           (!r->wait_s || add_header(x, wait));
}

static void set_options(struct exchange *x, const struct api_request *r)
{
    CURL *easy = x->easy;
    long limit_ms = (long)(r->limit_ms ? r->limit_ms : API_LIMIT_MS);
    curl_easy_setopt(easy, CURLOPT_URL, x->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "patchbay/" PB_VERSION);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)API_CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, limit_ms + 1000L * (long)r->wait_s);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->error);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &x->in);
    if (r->body || strcmp(r->method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->body ? r->body : "");
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, r->method);
}

static void exchange_fini(struct exchange *x)
{
    curl_slist_free_all(x->headers); /* curl wipes nothing; the token also lies in the api */
    buf_fini(&x->in);
    free(x->url);
}

static pb_err exchange_init(struct exchange *x, CURL *easy, const struct api *a, const struct api_request *r)
{
    x->easy = easy;
    x->as_text = r->as_text;
    buf_init(&x->in, API_ANSWER_BYTES);
    if (asprintf(&x->url, "%s%s", a->url, r->path) < 0) {
        x->url = NULL;
        return PB_E_MEMORY;
    }
    if (!add_headers(x, a, r))
        return PB_E_MEMORY;
    set_options(x, r);
    return PB_OK;
}

/* -- its answer -- */

static pb_err unreachable(const struct api *a, const struct exchange *x, CURLcode code, struct pb_why *why)
{
    return pb_fail(why, code == CURLE_OUT_OF_MEMORY ? PB_E_MEMORY : PB_E_CLOSED, a->url, "%s",
                   x->error[0] ? x->error : curl_easy_strerror(code));
}

static pb_err read_answer(const struct api *a, struct exchange *x, struct api_answer *out, struct pb_why *why)
{
    struct api_answer answer = {0};
    curl_off_t retry = 0;
    long status = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(x->easy, CURLINFO_RETRY_AFTER, &retry);
    answer.status = (int)status;
    answer.retry_after_s = retry > 0 && retry < 3600 ? (uint32_t)retry : 0;
    if (x->as_text && status < 400) {
        *out = answer;
        out->text = buf_take(&x->in, &out->text_len);
        return out->text ? PB_OK : PB_E_MEMORY;
    }
    if (x->in.len)
        answer.body = json_loadb(buf_peek(&x->in), x->in.len, JSON_REJECT_DUPLICATES, NULL);
    if (!answer.body && (x->in.len || status != 204))
        return pb_fail(why, PB_E_INVALID, a->url,
                       "answers with HTTP %ld, but not as a Patchbay broker does; is the address right?",
                       status);
    *out = answer;
    return PB_OK;
}

static pb_err finish(const struct api *a, struct exchange *x, CURLcode code, struct api_answer *out,
                     struct pb_why *why)
{
    return code ? unreachable(a, x, code, why) : read_answer(a, x, out, why);
}

/* -- the API -- */

pb_err api_open(const char *url, const struct secret *token, struct api **out, struct pb_why *why)
{
    struct api *a = calloc(1, sizeof *a);
    if (!a)
        return PB_E_MEMORY;
    a->url = strdup(url);
    a->easy = curl_easy_init();
    pb_err err = a->url && a->easy ? PB_OK : pb_fail(why, PB_E_MEMORY, NULL, "out of memory");
    if (!err && token->data)
        err = secret_set(&a->token, token->data, token->len);
    if (err)
        api_close(a);
    else
        *out = a;
    return err;
}

void api_close(struct api *a)
{
    if (!a)
        return;
    curl_easy_cleanup(a->easy);
    secret_fini(&a->token);
    free(a->url);
    free(a);
}

const char *api_url(const struct api *a)
{
    return a->url;
}

pb_err api_call(struct api *a, const struct api_request *r, struct api_answer *out, struct pb_why *why)
{
    struct exchange x = {0};
    pb_err err = exchange_init(&x, a->easy, a, r);
    if (!err)
        err = finish(a, &x, curl_easy_perform(a->easy), out, why);
    curl_easy_reset(a->easy);
    exchange_fini(&x);
    return err;
}
