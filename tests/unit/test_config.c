#include "common/config.h"

#include "tests/unit/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka wants setjmp and stdarg before it */
#include <cmocka.h>

struct settings {
    char *data_dir, *listen;
    int64_t lease_ms;
    bool verbose, color;
    struct option_list allow;
};

#define AT(member) offsetof(struct settings, member)
static const struct option options[] = {
    {"data-dir", OPTION_TEXT, AT(data_dir), "data", 0, 0, "DIR", "where things lie"},
    {"listen", OPTION_TEXT, AT(listen), NULL, 0, 0, "ADDR", "what is listened on"},
    {"lease-ms", OPTION_NUMBER, AT(lease_ms), "1000", 200, 60000, "MS", "how long"},
    {"verbose", OPTION_FLAG, AT(verbose), NULL, 0, 0, NULL, "say more"},
    {"color", OPTION_FLAG, AT(color), "true", 0, 0, NULL, "say it in color"},
    {"allow", OPTION_LIST, AT(allow), "a,b", 0, 0, "CIDR", "who may"},
};
static const struct program program = {"test-program", "A program for tests.", options,
                                       sizeof options / sizeof options[0]};

#define ARGS_MAX 64

/* Arguments in one string, apart by spaces. */
static pb_err load_as(const char *arguments, struct settings *out, bool *done, struct pb_why *why)
{
    char text[1024], *argv[ARGS_MAX + 1] = {(char *)(uintptr_t) "program"}, *rest = text, *word;
    int argc = 1;
    snprintf(text, sizeof text, "%s", arguments);
    while ((word = strsep(&rest, " ")) && argc < ARGS_MAX)
        if (*word)
            argv[argc++] = word;
    *out = (struct settings){0};
    *why = (struct pb_why){0};
    return config_load(&program, argc, argv, out, done, why);
}

static struct settings load(const char *arguments)
{
    struct settings s;
    struct pb_why why;
    bool done = true;
    if (load_as(arguments, &s, &done, &why) != PB_OK)
        fail_msg("%s: %s: %s", arguments, why.at, why.text);
    assert_false(done);
    return s;
}

static void refused(const char *arguments, pb_err err, const char *at, const char *words)
{
    struct settings s;
    struct pb_why why;
    bool done;
    pb_err got = load_as(arguments, &s, &done, &why);
    if (got != err || strcmp(why.at, at) != 0 || !strstr(why.text, words))
        fail_msg("%s: %s: %s: %s", arguments, pb_err_name(got), why.at, why.text);
    config_fini(&program, &s);
}

static void expect_list(const struct option_list *list, const char *expected)
{
    char text[512] = "";
    size_t len = 0;
    for (size_t i = 0; i < list->count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? " " : "", list->items[i]);
    assert_string_equal(text, expected);
}

/* The path of an INI file with this text, as an argument. */
static const char *file_argument(void **state, const char *text, char out[300])
{
    char path[256];
    scratch_text(*state, "test.ini", text);
    snprintf(out, 300, "--config=%s", scratch_path(*state, "test.ini", path));
    return out;
}

static void config_gives_defaults_when_nothing_is_said(void **state)
{
    struct settings s = load("");
    (void)state;
    assert_string_equal(s.data_dir, "data");
    assert_null(s.listen);
    assert_int_equal(s.lease_ms, 1000);
    assert_false(s.verbose);
    assert_true(s.color);
    expect_list(&s.allow, "a b");
    config_fini(&program, &s);
    assert_null(s.data_dir);
    assert_int_equal(s.allow.count, 0);
    config_fini(&program, &s); /* again: nothing left */
}

static void config_takes_flags_in_both_forms(void **state)
{
    struct settings s =
        load("--data-dir /x --listen=y=z --lease-ms 200 --verbose --color=false --allow c --allow=d,e");
    (void)state;
    assert_string_equal(s.data_dir, "/x");
    assert_string_equal(s.listen, "y=z");
    assert_int_equal(s.lease_ms, 200);
    assert_true(s.verbose);
    assert_false(s.color);
    expect_list(&s.allow, "c d e");
    config_fini(&program, &s);
    s = load("--data-dir= --lease-ms=60000 --data-dir last"); /* the last one counts */
    assert_string_equal(s.data_dir, "last");
    assert_int_equal(s.lease_ms, 60000);
    config_fini(&program, &s);
}

static void config_flags_win_over_environment_over_file(void **state)
{
    char argument[300], all[400];
    file_argument(state, "data-dir = file\nlisten = file\nlease-ms = 300\nallow = f,g\n", argument);
    struct settings s = load(argument);
    assert_string_equal(s.data_dir, "file");
    assert_int_equal(s.lease_ms, 300);
    expect_list(&s.allow, "f g");
    config_fini(&program, &s);
    setenv("PATCHBAY_DATA_DIR", "environment", 1);
    setenv("PATCHBAY_LEASE_MS", "400", 1);
    setenv("PATCHBAY_VERBOSE", "true", 1);
    setenv("PATCHBAY_ALLOW", "h", 1);
    s = load(argument);
    assert_string_equal(s.data_dir, "environment");
    assert_string_equal(s.listen, "file");
    assert_int_equal(s.lease_ms, 400);
    assert_true(s.verbose);
    expect_list(&s.allow, "h"); /* not f and g as well: what a flag narrows stays narrow */
    config_fini(&program, &s);
    snprintf(all, sizeof all, "%s --data-dir flag --allow i --verbose=false", argument);
    s = load(all);
    assert_string_equal(s.data_dir, "flag");
    assert_int_equal(s.lease_ms, 400);
    assert_false(s.verbose);
    expect_list(&s.allow, "i");
    config_fini(&program, &s);
    s = load("--allow=");
    expect_list(&s.allow, "");
    config_fini(&program, &s);
    unsetenv("PATCHBAY_DATA_DIR");
    unsetenv("PATCHBAY_LEASE_MS");
    unsetenv("PATCHBAY_VERBOSE");
    unsetenv("PATCHBAY_ALLOW");
}

static void config_finds_its_file_by_flag_and_variable(void **state)
{
    char path[256], text[300];
    scratch_text(*state, "other.ini", "listen = other\n");
    scratch_path(*state, "other.ini", path);
    snprintf(text, sizeof text, "--config %s", path);
    struct settings s = load(text);
    assert_string_equal(s.listen, "other");
    config_fini(&program, &s);
    setenv("PATCHBAY_CONFIG", path, 1);
    s = load("");
    assert_string_equal(s.listen, "other");
    config_fini(&program, &s);
    s = load(file_argument(state, "listen = flag\n", text));
    assert_string_equal(s.listen, "flag");
    config_fini(&program, &s);
    unsetenv("PATCHBAY_CONFIG");
}

static void config_reads_ini_with_sections_comments_and_lists(void **state)
{
    char argument[300];
    struct settings s =
        load(file_argument(state,
                           "; a comment\n# another\n[broker]\n  data-dir=/a b\n\nallow = x\nallow = y,z\n"
                           "[other]\nverbose = true\n",
                           argument));
    assert_string_equal(s.data_dir, "/a b");
    expect_list(&s.allow, "x y z");
    assert_true(s.verbose);
    config_fini(&program, &s);
}

static void config_names_the_option_nearest_to_an_unknown_one(void **state)
{
    char argument[300];
    const char *path = file_argument(state, "listen = x\n", argument) + strlen("--config=");
    refused("--lisetn x", PB_E_INVALID, "", "there is no option --lisetn; did you mean --listen");
    refused("--leasems=3", PB_E_INVALID, "", "did you mean --lease-ms");
    refused("--zzzzzz", PB_E_INVALID, "", "there is no option --zzzzzz; --help lists them");
    refused("--", PB_E_INVALID, "", "--help lists them");
    file_argument(state, "datadir = x\n", argument);
    refused(argument, PB_E_INVALID, path, "there is no option datadir; did you mean data-dir");
}

/* The parser goes on behind a fault; what it finds there must not hide the fault. */
static void config_tells_the_first_fault_of_a_file(void **state)
{
    char argument[300];
    const char *path = file_argument(state, "", argument) + strlen("--config=");
    file_argument(state, "lisetn = x\nlease-ms = 500\nlease-ms = 1\n", argument);
    refused(argument, PB_E_INVALID, path, "did you mean listen");
    file_argument(state, "lease-ms = 1\nlease-ms = 500\n", argument);
    refused(argument, PB_E_INVALID, "lease-ms", "must be a number from 200 to 60000; it is \"1\"");
    file_argument(state, "lease-ms = 500\nno sense\ndata-dir = x\n", argument);
    refused(argument, PB_E_INVALID, path, "line 2 is neither a [section] nor NAME = VALUE");
}

static void config_takes_each_line_of_a_file_for_itself(void **state)
{
    char argument[300], text[400];
    struct settings s = load(file_argument(state, "listen = x\n  lease-ms = 5000\n", argument));
    assert_string_equal(s.listen, "x"); /* the indented line is no second value of it */
    assert_int_equal(s.lease_ms, 5000);
    config_fini(&program, &s);
    snprintf(text, sizeof text, "listen = %0188dlease-ms = 5000\n", 0);
    refused(file_argument(state, text, argument), PB_E_INVALID, argument + strlen("--config="),
            "line 1 is too long");
    scratch_write(*state, "test.ini", "listen = x\0y\n", 13, 0600);
    refused(argument, PB_E_INVALID, argument + strlen("--config="), "line 1 has a NUL");
}

static void config_refuses_numbers_outside_of_their_range(void **state)
{
    static const char *const bad[] = {
        "199", "60001", "-1", "", "1e3", "1000ms", "0x400", "ten", "99999999999999999999", "200.5"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char argument[64];
        snprintf(argument, sizeof argument, "--lease-ms=%s", bad[i]);
        refused(argument, PB_E_INVALID, "--lease-ms", "must be a number from 200 to 60000");
    }
    setenv("PATCHBAY_LEASE_MS", "soon", 1);
    refused("", PB_E_INVALID, "PATCHBAY_LEASE_MS", "it is \"soon\"");
    unsetenv("PATCHBAY_LEASE_MS");
}

static void config_refuses_flags_that_are_neither_true_nor_false(void **state)
{
    (void)state;
    refused("--verbose=yes", PB_E_INVALID, "--verbose", "must be true or false; it is \"yes\"");
    refused("--verbose=", PB_E_INVALID, "--verbose", "must be true or false");
    refused("--verbose true", PB_E_INVALID, "true", "is not an option");
}

static void config_refuses_arguments_that_are_no_options(void **state)
{
    (void)state;
    refused("stray", PB_E_INVALID, "stray", "is not an option; --help lists them");
    refused("-v", PB_E_INVALID, "-v", "is not an option");
    refused("--listen", PB_E_INVALID, "--listen", "needs a value: ADDR");
    refused("--allow", PB_E_INVALID, "--allow", "needs a value: CIDR");
}

static void config_limits_the_items_of_a_list(void **state)
{
    char most[256] = "--allow=0";
    (void)state;
    for (int i = 1; i < OPTION_LIST_MAX; i++)
        snprintf(most + strlen(most), sizeof most - strlen(most), ",%d", i);
    struct settings s = load(most);
    assert_int_equal(s.allow.count, OPTION_LIST_MAX);
    config_fini(&program, &s);
    snprintf(most + strlen(most), sizeof most - strlen(most), ",x");
    refused(most, PB_E_LIMIT, "--allow", "32 times at most");
}

static void config_passes_over_empty_items_of_a_list(void **state)
{
    struct settings s = load("--allow=,a,,b,");
    (void)state;
    expect_list(&s.allow, "a b");
    config_fini(&program, &s);
}

static void config_says_when_the_file_cannot_be_opened(void **state)
{
    char path[256], argument[300];
    snprintf(argument, sizeof argument, "--config=%s", scratch_path(*state, "missing.ini", path));
    refused(argument, PB_E_IO, path, "cannot be opened: No such file");
}

/* What the call prints, in text. */
static bool printed(void **state, const char *arguments, char *text, size_t size)
{
    char path[256];
    struct settings s;
    struct pb_why why;
    bool done = false;
    fflush(stdout);
    int saved = dup(STDOUT_FILENO),
        fd = open(scratch_path(*state, "out", path), O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(saved >= 0 && fd >= 0);
    dup2(fd, STDOUT_FILENO);
    pb_err err = load_as(arguments, &s, &done, &why);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    ssize_t len = pread(fd, text, size - 1, 0);
    text[len > 0 ? len : 0] = 0;
    close(saved);
    close(fd);
    assert_int_equal(err, PB_OK);
    config_fini(&program, &s);
    return done;
}

static void config_help_tells_every_option_with_its_default(void **state)
{
    static const char *const parts[] = {"usage: test-program [OPTION...]",
                                        "A program for tests.",
                                        "--data-dir DIR\n",
                                        "where things lie (default: data)",
                                        "--lease-ms MS\n",
                                        "(default: 1000)",
                                        "--verbose\n",
                                        "say more\n",
                                        "--allow CIDR\n",
                                        "--config FILE",
                                        "PATCHBAY_DATA_DIR"};
    char text[4096];
    assert_true(printed(state, "--help", text, sizeof text));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!strstr(text, parts[i]))
            fail_msg("\"%s\" is missing in:\n%s", parts[i], text);
    assert_true(printed(state, "--lease-ms=wrong --help", text, sizeof text)); /* whatever else is wrong */
}

static void config_version_tells_name_and_version(void **state)
{
    char text[256];
    assert_true(printed(state, "--version", text, sizeof text));
    assert_string_equal(text, "test-program " PB_VERSION "\n");
    assert_false(printed(state, "", text, sizeof text));
    assert_string_equal(text, "");
}

/* Whatever a file's bytes are: settings, or an error with a place. */
static void load_any(void *arg, const uint8_t *bytes, size_t len)
{
    const struct scratch *scratch = arg;
    char path[256], argument[300];
    struct settings s;
    struct pb_why why;
    bool done;
    scratch_write(scratch, "fuzz.ini", bytes, len, 0600);
    snprintf(argument, sizeof argument, "--config=%s", scratch_path(scratch, "fuzz.ini", path));
    pb_err err = load_as(argument, &s, &done, &why);
    if (err && (!why.at[0] || !why.text[0]))
        fail_msg("%s without a place", pb_err_name(err));
    if (!err)
        assert_in_range(s.lease_ms, 200, 60000);
    config_fini(&program, &s);
}

static void config_survives_any_file(void **state)
{
    static const char text[] =
        "[broker]\ndata-dir = /var/lib\n; comment\nlease-ms = 500\nallow = a,b,c\nverbose = true\n";
    scratch_fuzz((const uint8_t *)text, sizeof text - 1, 8, 3000, load_any, *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_gives_defaults_when_nothing_is_said),
        cmocka_unit_test(config_takes_flags_in_both_forms),
        cmocka_unit_test(config_flags_win_over_environment_over_file),
        cmocka_unit_test(config_finds_its_file_by_flag_and_variable),
        cmocka_unit_test(config_reads_ini_with_sections_comments_and_lists),
        cmocka_unit_test(config_names_the_option_nearest_to_an_unknown_one),
        cmocka_unit_test(config_tells_the_first_fault_of_a_file),
        cmocka_unit_test(config_takes_each_line_of_a_file_for_itself),
        cmocka_unit_test(config_refuses_numbers_outside_of_their_range),
        cmocka_unit_test(config_refuses_flags_that_are_neither_true_nor_false),
        cmocka_unit_test(config_refuses_arguments_that_are_no_options),
        cmocka_unit_test(config_limits_the_items_of_a_list),
        cmocka_unit_test(config_passes_over_empty_items_of_a_list),
        cmocka_unit_test(config_says_when_the_file_cannot_be_opened),
        cmocka_unit_test(config_help_tells_every_option_with_its_default),
        cmocka_unit_test(config_version_tells_name_and_version),
        cmocka_unit_test(config_survives_any_file),
    };
    return cmocka_run_group_tests(tests, scratch_start, scratch_stop);
}
