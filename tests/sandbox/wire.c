#include "wire.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zlib.h>

enum {
    CUT_PROMISED_BYTES = 4096,
    CUT_SENT_BYTES = 1024,
    HUGE_BYTES = 64 << 20,
    BOMB_BYTES = 256 << 20,
    BOMB_BLOCK_BYTES = 64 << 10,
};

/* Half an answer, then either a polite end (FIN) or a reset. */
struct cut {
    int fd;
    bool reset;
};

/* Disconnecting a TCP socket by AF_UNSPEC resets it there and then; a close by libmicrohttpd would say FIN
 * first. Setting TCP_NODELAY before pushes out what the kernel still holds back, so that the reset does come
 * in mid-body. */
static void reset_now(int fd)
{
    int on = 1;
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)connect(fd, &nowhere, sizeof nowhere);
}

static ssize_t cut_read(void *state, uint64_t at, char *out, size_t max)
{
    struct cut *cut = state;
    static const char head[] = "{\"id\":\"";
    if (at >= CUT_SENT_BYTES) {
        if (cut->reset)
            reset_now(cut->fd);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t length = CUT_SENT_BYTES - (size_t)at;
    length = length < max ? length : max;
    memset(out, 'x', length);
    if (at == 0 && length >= sizeof head)
        memcpy(out, head, sizeof head - 1);
    return (ssize_t)length;
}

static struct reply cut_reply(const struct ask *ask, bool reset)
{
    struct cut *cut = calloc(1, sizeof *cut);
    if (!cut)
        return (struct reply){.status = 0};
    *cut = (struct cut){.fd = ask->fd, .reset = reset};
    return reply_stream(MHD_HTTP_OK, CUT_PROMISED_BYTES, cut_read, cut, free);
}

struct reply wire_reset(const struct ask *ask)
{
    return cut_reply(ask, true);
}

struct reply wire_truncated(const struct ask *ask)
{
    return cut_reply(ask, false);
}

struct reply wire_html(const struct ask *ask)
{
    (void)ask;
    return reply_text(
        MHD_HTTP_OK, TYPE_HTML,
        "<!doctype html>\n<title>Welcome</title>\n<p>Please sign in to use this network.</p>\n");
}

struct reply wire_empty(const struct ask *ask)
{
    (void)ask;
    return reply_text(MHD_HTTP_OK, TYPE_JSON, "");
}

static ssize_t huge_read(void *state, uint64_t at, char *out, size_t max)
{
    (void)state;
    size_t left = HUGE_BYTES - (size_t)at;
    size_t length = left < max ? left : max;
    memset(out, 'x', length);
    return (ssize_t)length;
}

struct reply wire_huge(const struct ask *ask)
{
    (void)ask;
    return reply_stream(MHD_HTTP_OK, HUGE_BYTES, huge_read, NULL, NULL);
}

struct bomb {
    z_stream z;
    size_t left_bytes; /* not yet deflated */
    bool ended;
    uint8_t block[BOMB_BLOCK_BYTES];
};

static void bomb_free(void *state)
{
    struct bomb *bomb = state;
    (void)deflateEnd(&bomb->z);
    free(bomb);
}

static void bomb_feed(struct bomb *bomb)
{
    size_t length = bomb->left_bytes < BOMB_BLOCK_BYTES ? bomb->left_bytes : BOMB_BLOCK_BYTES;
    bomb->z.next_in = bomb->block;
    bomb->z.avail_in = (uInt)length;
    bomb->left_bytes -= length;
}

/* Deflates until a little comes out: at a thousand to one, that is already megabytes in. */
static ssize_t bomb_read(void *state, uint64_t at, char *out, size_t max)
{
    struct bomb *bomb = state;
    (void)at;
    if (bomb->ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    bomb->z.next_out = (Bytef *)out;
    bomb->z.avail_out = max < 1024 ? (uInt)max : 1024;
    uInt room = bomb->z.avail_out;
    while (bomb->z.avail_out && !bomb->ended) {
        if (bomb->z.avail_in == 0)
            bomb_feed(bomb);
        int done = deflate(&bomb->z, bomb->left_bytes ? Z_NO_FLUSH : Z_FINISH);
        bomb->ended = done == Z_STREAM_END;
    }
    return (ssize_t)(room - bomb->z.avail_out);
}

struct reply wire_bomb(const struct ask *ask)
{
    enum { GZIP_WINDOW_BITS = 15 + 16, MEMORY_LEVEL = 8 };
    (void)ask;
    struct bomb *bomb = calloc(1, sizeof *bomb);
    if (!bomb)
        return (struct reply){.status = 0};
    bomb->left_bytes = BOMB_BYTES;
    memset(bomb->block, 'x', sizeof bomb->block);
    if (deflateInit2(&bomb->z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW_BITS, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY)) {
        free(bomb);
        return (struct reply){.status = 0};
    }
    struct reply r = reply_stream(MHD_HTTP_OK, MHD_SIZE_UNKNOWN, bomb_read, bomb, bomb_free);
    reply_header(&r, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    return r;
}

static struct reply redirect(const char *to)
{
    struct reply r = reply_text(MHD_HTTP_FOUND, TYPE_HTML, "");
    reply_header(&r, MHD_HTTP_HEADER_LOCATION, to);
    return r;
}

struct reply wire_redirect_same(const struct ask *ask)
{
    char to[128];
    snprintf(to, sizeof to, "%s?" FOLLOWED_ARG "=1", ask->provider->path);
    return redirect(to);
}

struct reply wire_redirect_other(const struct ask *ask)
{
    (void)ask;
    return redirect("http://169.254.169.254/latest/meta-data/");
}

struct reply wire_redirect_host(const struct ask *ask)
{
    (void)ask;
    return redirect("https://evil.example/steal");
}

struct reply wire_redirect_loop(const struct ask *ask)
{
    return redirect(ask->provider->path);
}
