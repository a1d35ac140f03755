#include "common/client/access.h"
#include "common/client/answer.h"
#include "common/client/api.h"
#include "common/client/args.h"
#include "common/client/children.h"
#include "common/client/client.h"
#include "common/client/place.h"
#include "common/client/term.h"
#include "common/client/text.h"
#include "common/client/up.h"

#include <locale.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the four before it */
#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* -- arguments -- */

struct parsed {
    struct settings settings;
    const struct command *command;
    struct pb_why why;
    pb_err err;
};

/* Parses "patchbay" and the words up to a NULL with the program's own tables. */
static struct parsed parse(const char *const *words)
{
    struct parsed p = {0};
    char *argv[16] = {(char *)(uintptr_t) "patchbay"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    p.err = args_parse(&client_tables, argc, argv, &p.settings, &p.command, &p.why);
    return p;
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void args_reads_options_before_and_after_the_command(void **state)
{
    (void)state;
    struct parsed p = PARSE("--json", "--url=http://a", "setup", "stripe", "--name", "My Shop", "--wait=7",
                            "--credentials", "-");
    assert_int_equal(p.err, PB_OK);
    assert_string_equal(p.command->name, "setup");
    assert_true(p.settings.json);
    assert_false(p.settings.no_color);
    assert_string_equal(p.settings.url, "http://a");
    assert_string_equal(p.settings.name, "My Shop");
    assert_string_equal(p.settings.credentials, "-");
    assert_int_equal(p.settings.wait_s, 7);
    assert_int_equal(p.settings.operand_count, 1);
    assert_string_equal(p.settings.operands[0], "stripe");
}

static void args_fills_in_the_defaults_of_the_command(void **state)
{
    (void)state;
    assert_int_equal(PARSE("jobs", "retry", "--all").settings.rate, 10);
    assert_int_equal(PARSE("jobs", "retry", "--all", "--rate", "3").settings.rate, 3);
    assert_int_equal(PARSE("up").settings.workers, 2);
    assert_int_equal(PARSE("setup", "x").settings.wait_s, 120);
}

static void args_takes_what_follows_two_dashes_as_it_is(void **state)
{
    (void)state;
    struct parsed p = PARSE("show", "--", "--json");
    assert_int_equal(p.err, PB_OK);
    assert_string_equal(p.settings.operands[0], "--json");
    assert_false(p.settings.json);
}

static void args_knows_commands_of_two_words(void **state)
{
    (void)state;
    struct parsed p = PARSE("keys", "init", "--keyring", "k");
    assert_int_equal(p.err, PB_OK);
    assert_string_equal(p.command->name, "keys init");
    assert_string_equal(p.settings.keyring, "k");
}

static void args_takes_a_group_s_first_word_for_its_usual_command(void **state)
{
    (void)state;
    assert_string_equal(PARSE("jobs").command->name, "jobs list");
    assert_int_equal(PARSE("jobs").settings.limit, 50);
    assert_string_equal(PARSE("jobs", "--state", "dead").settings.state, "dead");
    assert_string_equal(PARSE("jobs", "list", "--json").command->name, "jobs list");
    assert_string_equal(PARSE("queue").command->name, "queue show");
    assert_string_equal(PARSE("workers", "drain", "w1").settings.operands[0], "w1");
    assert_string_equal(PARSE("jobs", "retry", "--all").command->name, "jobs retry");
}

static void args_collects_what_may_be_repeated(void **state)
{
    (void)state;
    struct parsed p = PARSE("up", "--connect-to", "a:1:b:2", "--connect-to=c:3:d:4");
    assert_int_equal(p.err, PB_OK);
    assert_int_equal(p.settings.connect_to.count, 2);
    assert_string_equal(p.settings.connect_to.items[1], "c:3:d:4");
}

static void args_asks_for_help_without_what_is_needed_otherwise(void **state)
{
    (void)state;
    struct parsed p = PARSE("setup", "--help");
    assert_int_equal(p.err, PB_OK);
    assert_true(p.settings.help);
    assert_null(PARSE("--help").command);
    assert_true(PARSE("--version").settings.version);
}

static void args_says_what_would_be_right_when_something_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *words[5], *says;
    } cases[] = {
        {{"lst"}, "did you mean list?"},
        {{"frobnicate"}, "patchbay --help lists them"},
        {{"list", "--typ", "x"}, "did you mean --type?"},
        {{"list", "--frobnicate"}, "patchbay list --help"},
        {{"list", "x"}, "one argument too many"},
        {{"setup"}, "setup needs TYPE"},
        {{"list", "--type"}, "--type needs a value"},
        {{"list", "--json=1"}, "--json takes no value"},
        {{"list", "-v"}, "there is no option -v"},
        {{"jobs", "retry", "--rate", "0"}, "a number from 1 to 1000; it is \"0\""},
        {{"revalidate", "--rate=5x"}, "it is \"5x\""},
        {{"list", "--token", "pb_x"}, "PATCHBAY_TOKEN"},
        {{"keys"}, "patchbay keys init"},
        {{"keys", "--json"}, "patchbay keys init"},
        {{"jobs", "lst"}, "did you mean patchbay jobs list?"},
        {{"jobs", "frobnicate"}, "patchbay jobs list, patchbay jobs show"},
        {{"queue", "pasue"}, "did you mean patchbay queue pause?"},
        {{"jobs", "show"}, "jobs show needs ID"},
        {{"jobs", "--limit", "0"}, "a number from 1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct parsed p = parse(cases[i].words);
        if (!p.err || !strstr(p.why.text, cases[i].says))
            fail_msg("%s: \"%s\" should say \"%s\"", cases[i].words[0], p.why.text, cases[i].says);
        assert_null(p.command);
    }
}

static void args_bounds_what_may_be_repeated(void **state)
{
    struct settings settings = {0};
    const struct command *command = NULL;
    struct pb_why why = {0};
    char *argv[2 + OPTION_LIST_MAX + 1] = {(char *)(uintptr_t) "patchbay", (char *)(uintptr_t) "up"};
    (void)state;
    for (int i = 0; i < OPTION_LIST_MAX + 1; i++)
        argv[2 + i] = (char *)(uintptr_t) "--connect-to=a";
    assert_int_equal(args_parse(&client_tables, 2 + OPTION_LIST_MAX, argv, &settings, &command, &why), PB_OK);
    settings = (struct settings){0};
    assert_int_equal(args_parse(&client_tables, 3 + OPTION_LIST_MAX, argv, &settings, &command, &why),
                     PB_E_LIMIT);
}

static void args_help_names_every_command_and_option(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 64 * 1024);
    args_help(&client_tables, NULL, NULL, &b);
    for (size_t i = 0; i < client_tables.command_count; i++) {
        const struct command *c = client_tables.commands[i];
        char name[64];
        int first = (int)strcspn(c->name, " ");
        snprintf(name, sizeof name, c->is_usual ? "  %.*s [%s]" : "  %.*s%s", first, c->name,
                 c->name + first + c->is_usual);
        assert_non_null(strstr(buf_peek(&b), name));
    }
    for (size_t i = 0; i < client_tables.command_count; i++) {
        const struct command *c = client_tables.commands[i];
        buf_reset(&b);
        args_help(&client_tables, c, NULL, &b);
        assert_non_null(strstr(buf_peek(&b), c->summary));
        for (size_t j = 0; j < c->option_count; j++) {
            char option[64];
            snprintf(option, sizeof option, "  --%s", c->options[j].name);
            assert_non_null(strstr(buf_peek(&b), option));
        }
    }
    buf_fini(&b);
}

static void args_help_of_a_first_word_names_the_commands_that_begin_with_it(void **state)
{
    struct buf b;
    (void)state;
    for (size_t i = 0; i < client_tables.command_count; i++) {
        const struct command *c = client_tables.commands[i];
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int)strcspn(c->name, " "), c->name);
        struct parsed p = PARSE(word, "--help");
        assert_int_equal(p.err, PB_OK);
        if (!strchr(c->name, ' ')) {
            assert_null(p.settings.group);
            continue;
        }
        assert_null(p.command);
        buf_init(&b, 64 * 1024);
        args_help(&client_tables, NULL, p.settings.group, &b);
        assert_non_null(strstr(buf_peek(&b), c->summary));
        assert_null(strstr(buf_peek(&b), command_up.summary));
        buf_fini(&b);
    }
    assert_int_equal(PARSE("frobnicate", "--help").err, PB_E_INVALID);
}

/* -- access -- */

struct home {
    char folder[64], config[96], data[96];
};

static int open_home(void **state)
{
    struct home *h = calloc(1, sizeof *h);
    assert_non_null(h);
    snprintf(h->folder, sizeof h->folder, "/tmp/client-XXXXXX");
    assert_non_null(mkdtemp(h->folder));
    snprintf(h->config, sizeof h->config, "%s/patchbay/config", h->folder);
    snprintf(h->data, sizeof h->data, "%s/data", h->folder);
    unsetenv("PATCHBAY_URL");
    unsetenv("PATCHBAY_TOKEN");
    setenv("XDG_CONFIG_HOME", h->folder, 1);
    *state = h;
    return 0;
}

static int close_home(void **state)
{
    struct home *h = *state;
    char path[192];
    static const char *const names[] = {"patchbay/config", "patchbay", "data/admin.token", "data"};
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", h->folder, names[i]);
        remove(path);
    }
    rmdir(h->folder);
    free(h);
    return 0;
}

static void write_file(const struct home *h, const char *folder, const char *name, const char *text,
                       mode_t mode)
{
    char path[192];
    snprintf(path, sizeof path, "%s/%s", h->folder, folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/%s", h->folder, folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(path, mode);
}

static void access_uses_this_machine_when_nothing_is_set(void **state)
{
    const struct home *h = *state;
    struct settings settings = {.data_dir = h->data};
    struct access a = {0};
    assert_int_equal(access_open(&settings, &a, NULL), PB_OK);
    assert_string_equal(a.url, ACCESS_URL_DEFAULT);
    assert_null(a.token.data);
    access_fini(&a);
}

static void access_prefers_options_to_environment_to_file_to_data_folder(void **state)
{
    const struct home *h = *state;
    struct settings settings = {.data_dir = h->data};
    struct access a = {0};
    write_file(h, "data", "admin.token", "pb_data\n", 0600);
    assert_int_equal(access_open(&settings, &a, NULL), PB_OK);
    assert_string_equal(a.token.data, "pb_data");
    access_fini(&a);
    write_file(h, "patchbay", "config", "# mine\nurl = http://localhost:2/\ntoken = pb_file\n", 0600);
    assert_int_equal(access_open(&settings, &a, NULL), PB_OK);
    assert_string_equal(a.url, "http://localhost:2");
    assert_string_equal(a.token.data, "pb_file");
    assert_false(a.token_exposed);
    access_fini(&a);
    setenv("PATCHBAY_URL", "https://b.example", 1);
    setenv("PATCHBAY_TOKEN", " pb_env\n", 1);
    assert_int_equal(access_open(&settings, &a, NULL), PB_OK);
    assert_string_equal(a.url, "https://b.example");
    assert_string_equal(a.token.data, "pb_env");
    assert_string_equal(a.token_from, "PATCHBAY_TOKEN");
    access_fini(&a);
    settings.url = "http://c";
    assert_int_equal(access_open(&settings, &a, NULL), PB_OK);
    assert_string_equal(a.url, "http://c");
    access_fini(&a);
}

static void access_keeps_the_data_folders_token_from_other_machines(void **state)
{
    const struct home *h = *state;
    struct settings settings = {.data_dir = h->data, .url = "https://broker.example"};
    struct access a = {0};
    write_file(h, "data", "admin.token", "pb_data\n", 0600);
    assert_int_equal(access_open(&settings, &a, NULL), PB_OK);
    assert_null(a.token.data);
    access_fini(&a);
}

static void access_notes_a_token_that_others_may_read(void **state)
{
    const struct home *h = *state;
    struct access a = {0};
    write_file(h, "patchbay", "config", "token = pb_x\n", 0644);
    assert_int_equal(access_read_file(h->config, &a, NULL), PB_OK);
    assert_true(a.token_exposed);
    access_fini(&a);
}

static void access_names_what_is_wrong_in_the_file(void **state)
{
    const struct home *h = *state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"tokn = x\n", "did you mean token"},    {"url = ftp://x\n", "http://"},
        {"token = two words\n", "one word"},     {"token = \n", "one word"},
        {"token = b\xc3\xa4h\n", "character 2"}, {"url = http://a\nwhat\n", "line 2"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct access a = {0};
        struct pb_why why = {0};
        write_file(h, "patchbay", "config", cases[i].text, 0600);
        assert_int_equal(access_read_file(h->config, &a, &why), PB_E_INVALID);
        if (!strstr(why.text, cases[i].says))
            fail_msg("\"%s\" should say \"%s\"", why.text, cases[i].says);
        assert_string_equal(why.at, h->config);
        access_fini(&a);
    }
    struct access a = {0};
    assert_int_equal(access_read_file("/nonexistent/config", &a, NULL), PB_E_NOT_FOUND);
}

static void access_tells_this_machine_from_others(void **state)
{
    static const char *const local[] = {"http://127.0.0.1:7400", "http://127.1.2.3", "https://localhost/x",
                                        "http://LOCALHOST:1", "http://[::1]:7400"};
    static const char *const other[] = {
        "http://10.0.0.1",         "http://127.example.com", "http://localhost.evil",  "http://x@127.0.0.1",
        "http://127.0.0.1@evil:1", "http://[::2]",           "http://localhost:1@evil"};
    (void)state;
    for (size_t i = 0; i < COUNT(local); i++)
        assert_true(access_is_local(local[i]));
    for (size_t i = 0; i < COUNT(other); i++)
        assert_false(access_is_local(other[i]));
}

/* -- text -- */

static void assert_safe(const char *text, const char *expected)
{
    struct buf b;
    buf_init(&b, 1024);
    text_safe(&b, text);
    assert_string_equal(buf_peek(&b), expected);
    buf_fini(&b);
}

static void text_leaves_nothing_that_steers_a_terminal(void **state)
{
    (void)state;
    assert_safe("plain \xc3\xa9 \xe4\xb8\xad", "plain \xc3\xa9 \xe4\xb8\xad");
    assert_safe("a\x1b[31mred\x1b[0m", "ared");
    assert_safe("a\x1b]0;title\x07z", "az");
    assert_safe("a\x1b]8;;http://x\x1b\\link", "alink");
    assert_safe("a\x1bPq#0\x1b\\z", "az");
    assert_safe("a\x1b(Bz\x1b"
                "cz",
                "azz");
    assert_safe("a\xc2\x9b"
                "31mz",
                "az");                                  /* CSI as one character */
    assert_safe("a\xc2\x85z\x7f\x08", "az");            /* C1, DEL, backspace */
    assert_safe("one\r\ntwo\tthree", "one  two three"); /* one line */
    assert_safe("a\xe2\x80\xae"
                "b\xe2\x81\xa6"
                "c",
                "abc"); /* direction overrides */
    assert_safe("a\xff\xc3", "a\xef\xbf\xbd\xef\xbf\xbd");
    assert_safe("a\x1b", "a");
    assert_safe("a\x1b[", "a");
    assert_safe("a\x1b]never ends", "a");
    assert_safe("a\x1b[\x1b[31mz", "az");
}

static void assert_cut(const char *text, size_t width, const char *expected)
{
    struct buf b;
    buf_init(&b, 1024);
    text_cut(&b, text, width);
    assert_string_equal(buf_peek(&b), expected);
    assert_true(text_width(buf_peek(&b)) <= width);
    buf_fini(&b);
}

static void text_cuts_by_columns_and_not_by_bytes(void **state)
{
    (void)state;
    assert_int_equal(text_width("abc"), 3);
    assert_int_equal(text_width("\xc3\xa9"), 1);
    assert_int_equal(text_width("\xe4\xb8\xad\xe6\x96\x87"), 4);
    assert_int_equal(text_width("e\xcc\x81"), 1); /* a combining accent */
    assert_cut("abcdef", 6, "abcdef");
    assert_cut("abcdef", 5, "abcd\xe2\x80\xa6");
    assert_cut("\xc3\xa9\xc3\xa9\xc3\xa9", 2, "\xc3\xa9\xe2\x80\xa6");
    assert_cut("\xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97", 4,
               "\xe4\xb8\xad\xe2\x80\xa6"); /* a half does not fit */
    assert_cut("abc", 1, "\xe2\x80\xa6");
    assert_cut("abc", 0, "");
}

static const struct column columns[] = {
    {"ID", false, false}, {"NAME", true, false}, {"WHY", true, false}, {"STATUS", false, true}};

static void table_shrinks_the_widest_first_and_never_what_must_stay(void **state)
{
    const size_t natural[] = {36, 30, 20, 6};
    size_t out[4];
    (void)state;
    table_layout(columns, natural, 4, 0, out);
    assert_memory_equal(out, natural, sizeof out);
    table_layout(columns, natural, 4, 98, out);
    assert_memory_equal(out, natural, sizeof out);
    table_layout(columns, natural, 4, 90, out); /* 8 too many, all from the widest */
    assert_int_equal(out[1], 22);
    assert_int_equal(out[2], 20);
    table_layout(columns, natural, 4, 80, out);
    assert_int_equal(out[1] + out[2], 80 - 36 - 6 - 6);
    assert_true(out[1] == out[2]);
    table_layout(columns, natural, 4, 10, out);
    assert_int_equal(out[0], 36);
    assert_int_equal(out[1], 8);
    assert_int_equal(out[2], 8);
    assert_int_equal(out[3], 6);
}

static void table_keeps_columns_aligned_when_cells_are_wide_or_missing(void **state)
{
    struct table t;
    struct buf b;
    (void)state;
    table_init(&t, columns, 4);
    buf_init(&b, 4096);
    table_add(&t, "1");
    table_add(&t, "\xe4\xb8\xad\xe6\x96\x87"); /* four columns */
    table_add(&t, "a\x1b[1m\nb");
    table_add(&t, "active");
    table_addf(&t, "%d", 22);
    table_add(&t, NULL);
    table_add(&t, "");
    table_add(&t, "error");
    table_add_time(&t, "2026-01-31T23:59:59.000Z");
    table_add_time(&t, NULL);
    table_add_time(&t, "soon");
    table_add(&t, "ok");
    table_render(&t, 0, false, &b);
    assert_string_equal(buf_peek(&b), "ID                   NAME  WHY   STATUS\n"
                                      "1                    \xe4\xb8\xad\xe6\x96\x87  a b   active\n"
                                      "22                   -           error\n"
                                      "2026-01-31 23:59:59  -     soon  ok\n");
    buf_reset(&b);
    table_render(&t, 0, true, &b);
    assert_non_null(strstr(buf_peek(&b), "\x1b[32mactive\x1b[0m"));
    assert_non_null(strstr(buf_peek(&b), "\x1b[31merror\x1b[0m"));
    table_fini(&t);
    buf_fini(&b);
}

static void progress_fits_its_line_and_says_how_far_it_is(void **state)
{
    struct progress p = {.what = "validated", .total = 200, .done = 50, .started_ms = 1000};
    struct buf b;
    (void)state;
    buf_init(&b, 1024);
    progress_text(&p, 2000, 100, &b);
    assert_string_equal(buf_peek(&b),
                        "[##########                              ] 50 of 200 validated  50/s  3 s left");
    for (size_t width = 48; width <= 100; width++) {
        buf_reset(&b);
        progress_text(&p, 2000, width, &b);
        assert_true(text_width(buf_peek(&b)) < width);
    }
    buf_reset(&b);
    p.done = 200;
    progress_text(&p, 5000, 0, &b);
    assert_string_equal(buf_peek(&b), "200 of 200 validated  50/s");
    buf_fini(&b);
}

/* -- answers -- */

static void assert_problem(const char *json, int status, const char *expected)
{
    json_t *body = json ? json_loads(json, 0, NULL) : NULL;
    struct buf b;
    assert_true(!json || body);
    buf_init(&b, ANSWER_TEXT_BYTES);
    answer_problem(body, status, false, &b);
    assert_string_equal(buf_peek(&b), expected);
    buf_fini(&b);
    json_decref(body);
}

static void answer_shows_each_field_that_a_problem_names(void **state)
{
    (void)state;
    assert_problem("{\"code\":\"invalid_request\",\"detail\":\"2 faults\",\"errors\":["
                   "{\"pointer\":\"/credentials/apiKey\",\"message\":\"is required\"},"
                   "{\"pointer\":\"/name\",\"message\":\"is too long\"}]}",
                   422,
                   "no  invalid_request: 2 faults\n    apiKey: is required\n    /name: is too long\n"
                   "    patchbay types TYPE shows the fields\n");
}

static void answer_prefers_the_tests_result_to_the_problem_around_it(void **state)
{
    (void)state;
    assert_problem("{\"code\":\"invalid_credentials\",\"title\":\"The connection test failed\",\"result\":{"
                   "\"code\":\"invalid_credentials\",\"class\":\"credential\",\"httpStatus\":401,"
                   "\"message\":\"Invalid API Key provided\",\"field\":\"apiKey\"}}",
                   422,
                   "no  invalid_credentials: Invalid API Key provided (HTTP 401)\n    field apiKey\n"
                   "    copy the credential from the provider once more\n");
}

static void answer_makes_do_with_a_problem_that_says_little(void **state)
{
    (void)state;
    assert_problem(NULL, 502, "no  refused (HTTP 502)\n");
    assert_problem("{\"title\":\"Gone\"}", 410, "no  refused: Gone (HTTP 410)\n");
    assert_problem("{\"code\":\"x\\u001b[2J\",\"detail\":\"a\\nb\"}", 400, "no  x: a b\n");
    assert_problem("{\"code\":1,\"detail\":[],\"errors\":[{},3]}", 400,
                   "no  refused (HTTP 400)\n    the request: is not right\n    the request: is not right\n");
}

static void assert_result(const char *json, bool passed, const char *expected)
{
    json_t *result = json_loads(json, 0, NULL);
    struct buf b;
    assert_non_null(result);
    buf_init(&b, ANSWER_TEXT_BYTES);
    assert_int_equal(answer_passed(result), passed);
    answer_result(result, false, &b);
    assert_string_equal(buf_peek(&b), expected);
    buf_fini(&b);
    json_decref(result);
}

static void answer_says_what_a_test_found(void **state)
{
    (void)state;
    assert_result(
        "{\"code\":\"ok\",\"class\":\"ok\",\"durationMs\":214,\"account\":{\"id\":\"acct_1\",\"label\":"
        "\"Acme\"}}",
        true, "ok  connected to acct_1 (Acme), 214 ms\n");
    assert_result(
        "{\"code\":\"ok\",\"class\":\"ok\",\"durationMs\":5,\"account\":{\"id\":\"a\",\"label\":\"a\"}}",
        true, "ok  connected to a, 5 ms\n");
    assert_result(
        "{\"code\":\"ok\",\"class\":\"ok\",\"durationMs\":5,\"warnings\":[{\"code\":\"limited_capability\","
        "\"text\":\"needs an admin\"}]}",
        true, "ok  connected, 5 ms\n!!  needs an admin\n");
    assert_result("{\"code\":\"test_unavailable\",\"class\":\"none\"}", true,
                  "--  nothing could be tested: the type has no connection test\n");
    assert_result("{\"code\":\"timeout\",\"class\":\"transient\",\"message\":\"no answer\"}", false,
                  "no  timeout: no answer\n    the provider was too slow; try again later\n");
    assert_result("{}", false, "no  unknown\n");
}

static void answer_lists_pass_only_by_class(void **state)
{
    (void)state;
    assert_false(answer_passed(NULL));
    json_t *odd = json_pack("{s:s, s:s}", "code", "ok", "class", "transient");
    assert_false(answer_passed(odd));
    json_decref(odd);
}

/* -- addresses, logs, restarts -- */

static void api_escapes_all_but_what_a_segment_may_hold(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1024);
    api_escape(&b, "My Shop/&?#%\xc3\xa9-._~");
    assert_string_equal(buf_peek(&b), "My%20Shop%2F%26%3F%23%25%C3%A9-._~");
    buf_fini(&b);
}

static void client_filter_adds_what_is_set(void **state)
{
    struct settings s = {.type = "stripe", .query = "a b"};
    struct buf b;
    (void)state;
    buf_init(&b, 1024);
    buf_text(&b, "/v1/integrations");
    client_filter(&s, &b);
    assert_string_equal(buf_peek(&b), "/v1/integrations?type=stripe&q=a%20b");
    buf_fini(&b);
}

static void up_finds_the_brokers_ready_line_in_both_formats(void **state)
{
    const char *json =
        "{\"time\":\"t\",\"level\":\"info\",\"program\":\"patchbay-broker\",\"message\":\"ready\",\"http\":"
        "\"127.0.0.1:0\",\"port\":\"7411\",\"types\":\"2\"}";
    const char *text = "t info  patchbay-broker: ready http=\"127.0.0.1:0\" port=\"7411\" types=\"2\"";
    char port[8];
    (void)state;
    assert_true(log_is_ready(json));
    assert_true(log_is_ready(text));
    assert_true(log_field(json, "port", port, sizeof port));
    assert_string_equal(port, "7411");
    assert_true(log_field(text, "types", port, sizeof port));
    assert_string_equal(port, "2");
    assert_false(log_is_ready("{\"time\":\"t\",\"message\":\"already\",\"x\":\"ready\"}"));
    assert_false(log_is_ready("t info patchbay-broker: stopping"));
    assert_false(log_field(json, "http", port, 4)); /* too long for its place */
    assert_false(log_field("{\"a\":\"b\",\"port\":\"74", "port", port, sizeof port));
}

static void up_address_is_one_that_this_machine_can_use(void **state)
{
    static const struct {
        const char *listen, *port, *url;
    } cases[] = {
        {"127.0.0.1:7400", "7400", "http://127.0.0.1:7400"}, {"0.0.0.0:0", "8123", "http://127.0.0.1:8123"},
        {":7400", "7400", "http://127.0.0.1:7400"},          {"[::]:7400", "7400", "http://[::1]:7400"},
        {"10.0.0.5:80", "80", "http://10.0.0.5:80"},
    };
    char url[64];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(up_address(cases[i].listen, cases[i].port, url, sizeof url), PB_OK);
        assert_string_equal(url, cases[i].url);
    }
    assert_int_equal(up_address("nonsense", "1", url, sizeof url), PB_E_INVALID);
    assert_int_equal(up_address("127.0.0.1:7400", "7400", url, 8), PB_E_LIMIT);
}

static void child_waits_longer_each_time_until_it_has_been_steady(void **state)
{
    static const uint32_t pauses[] = {200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    struct child c = {.started_ms = 1000};
    (void)state;
    for (size_t i = 0; i < COUNT(pauses); i++) {
        child_plan_restart(&c, 2000);
        assert_int_equal(c.pause_ms, pauses[i]);
        assert_int_equal(c.start_at_ms, 2000 + pauses[i]);
    }
    child_plan_restart(&c, 1000 + CHILD_STEADY_MS);
    assert_int_equal(c.pause_ms, CHILD_PAUSE_MIN_MS);
}

/* Runs a program to its end, its output in path. */
static void run_child(struct child *c, const char *program, const char *option, const char *path)
{
    struct pb_why why = {0};
    child_init(c, program);
    child_option(c, option, "x");
    c->log = strdup(path);
    assert_int_equal(child_start(c, 0, &why), PB_OK);
    assert_int_not_equal(c->pid, 0);
    for (int i = 0; i < 500 && !child_reap(c); i++)
        usleep(10000);
    assert_int_equal(c->pid, 0);
    assert_int_equal(c->pidfd, -1);
}

static void child_appends_its_output_to_a_log_that_only_its_owner_reads(void **state)
{
    const struct home *h = *state;
    char path[128], how[64], text[256] = "";
    struct child c;
    struct stat st;
    snprintf(path, sizeof path, "%s/log", h->folder);
    run_child(&c, "/bin/echo", "--first", path);
    child_how_ended(&c, how, sizeof how);
    assert_string_equal(how, "exit status 0");
    assert_int_equal(c.log_from, 0);
    child_fini(&c);
    run_child(&c, "/bin/echo", "--second", path);
    assert_int_equal(c.log_from, strlen("--first=x\n"));
    child_fini(&c);
    run_child(&c, "/nonexistent/program", "--third", path);
    child_how_ended(&c, how, sizeof how);
    assert_string_equal(how, "exit status 127");
    child_fini(&c);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    unlink(path);
    assert_string_equal(
        text, "--first=x\n--second=x\n/nonexistent/program: cannot be run: No such file or directory\n");
}

static void child_has_too_many_arguments_when_they_pass_its_limit(void **state)
{
    struct child c;
    struct pb_why why = {0};
    (void)state;
    child_init(&c, "/bin/true");
    for (int i = 0; i < CHILD_ARGS_MAX - 2; i++)
        child_option(&c, "--a", "b");
    assert_false(c.args_failed);
    child_option(&c, "--a", "b");
    assert_int_equal(child_start(&c, 0, &why), PB_E_LIMIT);
    child_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(args_reads_options_before_and_after_the_command),
        cmocka_unit_test(args_fills_in_the_defaults_of_the_command),
        cmocka_unit_test(args_takes_what_follows_two_dashes_as_it_is),
        cmocka_unit_test(args_knows_commands_of_two_words),
        cmocka_unit_test(args_takes_a_group_s_first_word_for_its_usual_command),
        cmocka_unit_test(args_collects_what_may_be_repeated),
        cmocka_unit_test(args_asks_for_help_without_what_is_needed_otherwise),
        cmocka_unit_test(args_says_what_would_be_right_when_something_is_wrong),
        cmocka_unit_test(args_bounds_what_may_be_repeated),
        cmocka_unit_test(args_help_names_every_command_and_option),
        cmocka_unit_test(args_help_of_a_first_word_names_the_commands_that_begin_with_it),
        cmocka_unit_test_setup_teardown(access_uses_this_machine_when_nothing_is_set, open_home, close_home),
        cmocka_unit_test_setup_teardown(access_prefers_options_to_environment_to_file_to_data_folder,
                                        open_home, close_home),
        cmocka_unit_test_setup_teardown(access_keeps_the_data_folders_token_from_other_machines, open_home,
                                        close_home),
        cmocka_unit_test_setup_teardown(access_notes_a_token_that_others_may_read, open_home, close_home),
        cmocka_unit_test_setup_teardown(access_names_what_is_wrong_in_the_file, open_home, close_home),
        cmocka_unit_test(access_tells_this_machine_from_others),
        cmocka_unit_test(text_leaves_nothing_that_steers_a_terminal),
        cmocka_unit_test(text_cuts_by_columns_and_not_by_bytes),
        cmocka_unit_test(table_shrinks_the_widest_first_and_never_what_must_stay),
        cmocka_unit_test(table_keeps_columns_aligned_when_cells_are_wide_or_missing),
        cmocka_unit_test(progress_fits_its_line_and_says_how_far_it_is),
        cmocka_unit_test(answer_shows_each_field_that_a_problem_names),
        cmocka_unit_test(answer_prefers_the_tests_result_to_the_problem_around_it),
        cmocka_unit_test(answer_makes_do_with_a_problem_that_says_little),
        cmocka_unit_test(answer_says_what_a_test_found),
        cmocka_unit_test(answer_lists_pass_only_by_class),
        cmocka_unit_test(api_escapes_all_but_what_a_segment_may_hold),
        cmocka_unit_test(client_filter_adds_what_is_set),
        cmocka_unit_test(up_finds_the_brokers_ready_line_in_both_formats),
        cmocka_unit_test(up_address_is_one_that_this_machine_can_use),
        cmocka_unit_test(child_waits_longer_each_time_until_it_has_been_steady),
        cmocka_unit_test_setup_teardown(child_appends_its_output_to_a_log_that_only_its_owner_reads,
                                        open_home, close_home),
        cmocka_unit_test(child_has_too_many_arguments_when_they_pass_its_limit),
    };
    setlocale(LC_CTYPE, "C.UTF-8"); /* as the program does: widths are asked of the library */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
