/* Templates: "TEMPLATE, ---, TEXT, ---, SECRET". Whatever the fields hold, each stays a value: in an address
 * it moves neither host nor path, in a header it begins no other. */
#include "tests/fuzz/lib/fuzz.h"

#include "common/limits.h"
#include "worker/declarative/template.h"
#include "worker/target.h"

#include <string.h>

static struct field fields[] = {{.name = "text"}, {.name = "key", .secret = true}};
static const struct manifest demo = {.type = "demo", .fields = fields, .field_count = 2};

/* "" where the template or a value is refused. */
static const char *expand(const struct template_env *env, const char *template, enum template_place place,
                          struct buf *out)
{
    bool secret = false;
    struct pb_why why = {0};
    buf_reset(out);
    pb_err err = template_expand(template, env, place, out, &secret, &why);
    MUST(!err || err == PB_E_LIMIT || why.text[0]);
    MUST(err || !strstr(template, "{key}") || strpbrk(template, "'") || strstr(template, "{{") || secret);
    return err || out->failed ? "" : buf_peek(out);
}

static void check_address(const char *url, const char *host_end, const char *start, const char *end)
{
    struct target t;
    if (!*url || target_parse(url, &t, NULL) != PB_OK)
        return;
    size_t host = strlen(t.host), len = t.url.len;
    MUST(host > strlen(host_end) && strcmp(t.host + host - strlen(host_end), host_end) == 0);
    MUST(t.https && t.port == 443);
    MUST(strncmp(t.url.data, start, strlen(start)) == 0);
    MUST(len >= strlen(end) && strcmp(t.url.data + len - strlen(end), end) == 0);
    target_fini(&t);
}

static void check_places(const struct template_env *env, struct buf *out)
{
    static const char *const paths[] = {"https://api.a.com/v1/{text}/end", "https://api.a.com/v1/{key}/end",
                                        "https://api.a.com/v1/{text}{key}/end",
                                        "https://api.a.com/v1/.{text}/end"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        check_address(expand(env, paths[i], PLACE_PATH, out), ".a.com", "https://api.a.com/v1/", "/end");
    check_address(expand(env, "https://api.a.com/v1?a={text}&b=end", PLACE_QUERY, out), ".a.com",
                  "https://api.a.com/v1?a=", "&b=end");
    check_address(expand(env, "https://{text}.a.com/end", PLACE_BASE_URL, out), ".a.com", "https://", "/end");
    const char *header = expand(env, "x {text} {base64(key)}", PLACE_HEADER, out);
    MUST(strcspn(header, "\r\n\x7f") == strlen(header));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_parts p;
    struct credentials c = {0};
    struct buf out;
    fuzz_split(data, size, &p);
    MUST(credentials_add(&c, "text", p.text[1], strlen(p.text[1])) == PB_OK);
    MUST(credentials_add(&c, "key", p.text[2], strlen(p.text[2])) == PB_OK);
    struct template_env env = {&demo, &c, p.text[3], p.text[4], 1767225600};
    buf_init(&out, LIMIT_REQUEST_BYTES);
    for (int place = PLACE_BASE_URL; place <= PLACE_JSON; place++)
        expand(&env, p.text[0], (enum template_place)place, &out);
    check_places(&env, &out);
    credentials_fini(&c);
    buf_fini(&out);
    fuzz_split_fini(&p);
    return 0;
}
