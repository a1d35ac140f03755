/* Providers' answers: "TYPE, ---, STATUS, ---, HEADERS, ---, BODY" and further answers. Whatever they say,
 * the test ends, with a result that can be stored and shown and holds no secret, and nothing is asked of a
 * host that the package does not name. */
#include "tests/fuzz/lib/fuzz.h"

#include "worker/declarative/exam.h"
#include "worker/target.h"

#include <stdlib.h>
#include <string.h>

#define NOW_MS INT64_C(1767225600000)
#define SECRET "sk_test_51Qz/8+Fuzz0wHXy"

/* Uses what one answer says in the next request, everywhere it can stand. */
static const char chain[] =
    "{\"http\":{\"baseUrl\":\"https://api.example.com/v1\",\"headers\":{\"X-Id\":\"{account.id}\"}},"
    "\"auth\":{\"scheme\":\"query\",\"name\":\"key\",\"value\":\"{apiKey}\"},\"test\":{"
    "\"rateLimit\":{\"after\":[\"retry-after\"],\"at\":[\"x-reset\"]},\"steps\":[{\"id\":\"who\","
    "\"request\":{\"method\":\"GET\",\"path\":\"/me\"},\"expect\":{\"json\":[{\"pointer\":\"/id\","
    "\"op\":\"exists\"}]},\"errors\":[{\"header\":{\"name\":\"X-Why\",\"value\":\"old\"},\"code\":"
    "\"credentials_expired\",\"message\":\"\"},{\"bodyContains\":\"gone\",\"code\":\"insufficient_scope\","
    "\"message\":\"/why\",\"field\":\"apiKey\"}],\"extract\":{\"accountId\":\"/id\",\"accountLabel\":\"/"
    "l\"}},"
    "{\"id\":\"next\",\"request\":{\"method\":\"POST\",\"path\":\"/a/{account.id}/b\",\"query\":{\"q\":"
    "\"{account.label}\"},\"json\":{\"a\":[\"{account.label}\"]}},\"errors\":[{\"status\":[403],\"code\":"
    "\"insufficient_scope\",\"message\":\"/why\"}],\"warnings\":[{\"json\":[{\"pointer\":\"/"
    "r\",\"op\":\"regex\","
    "\"value\":\"^(a+)+$\"}],\"code\":\"limited_capability\",\"text\":\"Less.\"}]}]}}";

static const struct manifest *package(const char *type)
{
    static struct field fields[] = {{.name = "apiKey", .secret = true}};
    static struct manifest m = {.type = "chain", .fields = fields, .field_count = 1};
    if (strcmp(type, "stripe") == 0 || strcmp(type, "slack") == 0)
        return fuzz_package(type);
    if (!m.json)
        m.json = json_loads(chain, 0, NULL);
    MUST(m.json);
    return &m;
}

static void check_request(const struct transfer_request *r)
{
    struct target t;
    bool allowed = false;
    MUST(target_parse(r->url.data, &t, NULL) == PB_OK && t.https);
    for (size_t i = 0; i < r->allowed_host_count; i++)
        allowed |= target_matches(&t, r->allowed_hosts[i]);
    MUST(allowed);
    for (size_t i = 0; i < r->header_count; i++)
        MUST(strcspn(r->headers[i].value.data, "\r\n") == r->headers[i].value.len);
    target_fini(&t);
}

static void check_result(const struct result *r)
{
    json_t *json = result_json(r);
    char *text = json_dumps(json, JSON_COMPACT);
    MUST(text && result_code_name(r->code) && result_class(r->code));
    MUST(!fuzz_holds(text, SECRET));
    MUST(!r->message[0] == !json_object_get(json, "message"));
    MUST(!r->provider_code[0] == !json_object_get(json, "providerCode"));
    MUST(r->retry_at_ms == 0 ||
         (r->retry_at_ms >= NOW_MS && r->retry_at_ms <= NOW_MS + LIMIT_RETRY_AFTER_MS));
    MUST(!r->account_id[0] == !json_object_get(json_object_get(json, "account"), "id"));
    MUST(!r->account_label[0] == !json_object_get(json_object_get(json, "account"), "label"));
    MUST(json_array_size(json_object_get(json, "warnings")) == r->warning_count);
    json_decref(json);
    free(text);
}

static void give_answer(struct exam *e, const struct fuzz_parts *p, size_t i)
{
    unsigned long status = strtoul(p->text[i], NULL, 10);
    struct transfer_answer a = {.status = (int)(status % 1000), /* all that curl lets through */
                                .headers = p->text[i + 1],
                                .headers_len = p->len[i + 1],
                                .body = p->text[i + 2],
                                .body_len = p->len[i + 2]};
    if (status >= 1000) {
        a.failure = RESULT_TIMEOUT;
        a.why = p->text[i + 1];
    }
    exam_answer(e, &a, NOW_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct credentials c = {0};
    struct exam *e = NULL;
    struct fuzz_parts p;
    size_t i = 1;
    fuzz_split(data, size, &p);
    const struct manifest *m = package(p.text[0]);
    MUST(credentials_add(&c, m->fields[0].name, SECRET, strlen(SECRET)) == PB_OK);
    MUST(exam_new(m, &c, NOW_MS, &e) == PB_OK);
    for (; i + 3 <= FUZZ_PARTS_MAX && exam_request(e); i += 3) {
        check_request(exam_request(e));
        give_answer(e, &p, i);
    }
    MUST(!exam_request(e));
    check_result(exam_result(e));
    exam_free(e);
    credentials_fini(&c);
    fuzz_split_fini(&p);
    return 0;
}
