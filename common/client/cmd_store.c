/* patchbay store: moves everything from one store to another. */
#include "common/client/client.h"
#include "common/store.h"
#include "common/store_copy.h"

#include <sodium.h>
#include <string.h>

/* Opened for reading first: a file that is not there is not to be made. Then for writing, so that no broker
 * can be at it meanwhile (a file's lock sees to that; of a MongoDB it must be known). */
static pb_err open_source(const char *url, struct store **out, struct pb_why *why)
{
    struct store *seen = NULL;
    pb_err err = store_open(url, true, &seen, why);
    store_close(seen);
    return err ? err : store_open(url, false, out, why);
}

static pb_err open_target(const char *url, struct store **out, struct pb_why *why)
{
    struct store_digest held;
    pb_err err = store_open(url, false, out, why);
    if (!err)
        err = store_digest(*out, &held, why);
    if (!err && !store_digest_is_empty(&held)) {
        char shown[STORE_SHOWN_BYTES];
        store_shown(url, shown);
        err = pb_fail(why, PB_E_EXISTS, shown, "is not empty; name a new one, or remove what is in it");
    }
    return err;
}

static void print_digest(const struct client *c, const struct store_digest *d)
{
    json_t *all = json_object();
    for (int i = 0; i < STORE_PARTS; i++) {
        char hash[2 * sizeof d->parts[i].hash + 1];
        sodium_bin2hex(hash, sizeof hash, d->parts[i].hash, sizeof d->parts[i].hash);
        if (c->settings.json)
            json_object_set_new(
                all, store_part_name((enum store_part)i),
                json_pack("{s:I, s:s}", "count", (json_int_t)d->parts[i].count, "hash", hash));
        else
            printf("    %-12s  %10llu  %.16s\n", store_part_name((enum store_part)i),
                   (unsigned long long)d->parts[i].count, hash);
    }
    if (c->settings.json)
        client_print_json(c, all);
    json_decref(all);
}

static pb_err compare(const struct store_digest *a, const struct store_digest *b, struct pb_why *why)
{
    for (int i = 0; i < STORE_PARTS; i++)
        if (a->parts[i].count != b->parts[i].count ||
            memcmp(a->parts[i].hash, b->parts[i].hash, sizeof a->parts[i].hash) != 0)
            return pb_fail(why, PB_E_CONFLICT, store_part_name((enum store_part)i),
                           "the two stores differ: %llu here, %llu there; does anything still write to them?",
                           (unsigned long long)a->parts[i].count, (unsigned long long)b->parts[i].count);
    return PB_OK;
}

/* The source is looked at again afterwards: if it has changed, the copy is of no use. */
static int run_migrate(struct client *c)
{
    struct store *from = NULL, *to = NULL;
    struct store_digest before, after;
    struct pb_why why = {0};
    if (strcmp(c->settings.operands[0], c->settings.operands[1]) == 0)
        return client_say(c, CLIENT_USAGE, "FROM and TO are the same");
    pb_err err = open_source(c->settings.operands[0], &from, &why);
    if (!err)
        err = open_target(c->settings.operands[1], &to, &why);
    if (!err)
        err = store_copy(from, to, &why);
    if (!err)
        err = store_digest(from, &before, &why);
    if (!err)
        err = store_digest(to, &after, &why);
    if (!err)
        err = compare(&before, &after, &why);
    store_close(from);
    store_close(to);
    if (err)
        return client_fail(c, CLIENT_NO, &why);
    client_print_ok(c, "everything is in both stores, the same in number and content");
    print_digest(c, &after);
    return CLIENT_DONE;
}

const struct command command_store_migrate = {
    .name = "store migrate",
    .arguments = "FROM TO",
    .summary = "copy everything from one store to another, and compare",
    .details =
        "FROM and TO are written as for --store. Stop every broker first, and start them with --store TO\n"
        "afterwards; FROM is left as it is. TO must be empty; after a failure, empty it and begin again.",
    .operands_min = 2,
    .operands_max = 2,
    .run = run_migrate};
