/* A bare loop over curl's multi interface: as many requests as a batch makes, each with a key of its own, so
 * many at a time. What a batch costs beyond it is what Patchbay costs.
 *
 * usage: requests URL COUNT PARALLEL */
#include "common/clock.h"

#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    CURL *easy;
    struct curl_slist *headers;
    char body[512];
    size_t len;
};

struct run {
    const char *url;
    long count, begun, ended, good;
    CURLM *multi;
};

static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct slot *s = arg;
    size_t len = size * count, room = sizeof s->body - 1 - s->len;
    memcpy(s->body + s->len, bytes, len < room ? len : room);
    s->len += len < room ? len : room;
    return len;
}

static void begin(struct run *r, struct slot *s)
{
    char line[64];
    snprintf(line, sizeof line, "Authorization: Bearer sk_test_ok_%ld", r->begun++);
    curl_slist_free_all(s->headers);
    s->headers = curl_slist_append(NULL, line);
    s->len = 0;
    curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers);
    curl_multi_add_handle(r->multi, s->easy);
}

static void end(struct run *r, CURL *easy)
{
    struct slot *s = NULL;
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &s);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    s->body[s->len] = 0;
    r->ended++;
    r->good += status == 200 && strstr(s->body, "\"account\"") != NULL;
    curl_multi_remove_handle(r->multi, easy);
    if (r->begun < r->count)
        begin(r, s);
}

static void open_slot(const struct run *r, struct slot *s)
{
    s->easy = curl_easy_init();
    curl_easy_setopt(s->easy, CURLOPT_URL, r->url);
    curl_easy_setopt(s->easy, CURLOPT_PRIVATE, s);
    curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, s);
}

static void turn(struct run *r)
{
    int running, left;
    CURLMsg *message;
    curl_multi_perform(r->multi, &running);
    while ((message = curl_multi_info_read(r->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            end(r, message->easy_handle);
    if (r->ended < r->count)
        curl_multi_poll(r->multi, NULL, 0, 1000, NULL);
}

int main(int argc, char **argv)
{
    struct run r = {.url = argc == 4 ? argv[1] : NULL};
    long parallel = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    r.count = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
    struct slot *slots = parallel > 0 ? calloc((size_t)parallel, sizeof *slots) : NULL;
    if (!slots || r.count < parallel || !(r.multi = curl_multi_init())) {
        fputs("usage: requests URL COUNT PARALLEL (no more than COUNT)\n", stderr);
        return 2;
    }
    curl_multi_setopt(r.multi, CURLMOPT_MAXCONNECTS, parallel);
    uint64_t began_ms = clock_mono_ms();
    for (long i = 0; i < parallel; i++) {
        open_slot(&r, &slots[i]);
        begin(&r, &slots[i]);
    }
    while (r.ended < r.count)
        turn(&r);
    double seconds = (double)(clock_mono_ms() - began_ms) / 1000;
    printf("%.0f requests/s, %ld of %ld good\n", (double)r.count / seconds, r.good, r.count);
    for (long i = 0; i < parallel; i++) {
        curl_easy_cleanup(slots[i].easy);
        curl_slist_free_all(slots[i].headers);
    }
    curl_multi_cleanup(r.multi);
    free(slots);
    return r.good == r.count ? 0 : 1;
}
