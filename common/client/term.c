#include "common/client/term.h"

#include "common/limits.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#define PROGRESS_EVERY_MS 100
#define PROGRESS_BAR_MAX  40
#define CLEAR_LINE        "\r\x1b[K"

void term_open(struct term *t, bool no_color)
{
    const char *off = getenv("NO_COLOR"), *kind = getenv("TERM");
    *t = (struct term){.out_tty = isatty(STDOUT_FILENO) == 1, .err_tty = isatty(STDERR_FILENO) == 1};
    t->can_ask = isatty(STDIN_FILENO) == 1 && t->err_tty;
    t->color = t->out_tty && !no_color && !(off && off[0]) && kind && strcmp(kind, "dumb") != 0;
}

size_t term_width(const struct term *t)
{
    struct winsize size = {0};
    if (!t->out_tty || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_col)
        return 0;
    return size.ws_col;
}

void term_print(struct buf *b)
{
    fwrite(buf_peek(b), 1, b->len, stdout);
    buf_reset(b);
}

/* -- questions -- */

/* Keys arrive one by one and signals as bytes and through a descriptor, so that whatever ends the question
 * finds the terminal's settings restored. */
struct question {
    bool secret, done, escape;
    struct buf text;
    struct termios before;
    sigset_t mask_before;
    int signals;
};

static pb_err question_open(struct question *q)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    if (tcgetattr(STDIN_FILENO, &q->before) != 0)
        return PB_E_CLOSED;
    sigprocmask(SIG_BLOCK, &set, &q->mask_before);
    q->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct termios raw = q->before;
    raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    return q->signals < 0 ? PB_E_IO : PB_OK;
}

static void question_close(struct question *q)
{
    tcsetattr(STDIN_FILENO, TCSADRAIN, &q->before);
    if (q->signals >= 0)
        close(q->signals);
    sigprocmask(SIG_SETMASK, &q->mask_before, NULL);
}

static bool is_follower(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/* Takes the last character back. */
static void erase(struct question *q)
{
    struct buf *b = &q->text;
    if (!b->len)
        return;
    size_t at = b->len - 1;
    while (at && is_follower(b->data[at]))
        at--;
    size_t width = q->secret ? 1 : text_width((const char *)b->data + at);
    memset(b->data + at, 0, b->len - at);
    b->len = at;
    while (width--)
        fputs("\b \b", stderr);
}

static void add(struct question *q, uint8_t c)
{
    buf_append(&q->text, &c, 1);
    if (!q->secret)
        fputc(c, stderr);
    else if (!is_follower(c))
        fputc('*', stderr);
}

/* One byte of a key. What arrows and function keys send is dropped: their sequences end in a letter or "~".
 */
static pb_err on_key(struct question *q, uint8_t c)
{
    if (q->escape)
        q->escape = !(c >= 0x40 && c <= 0x7e) || c == '[' || c == 'O';
    else if (c == 0x1b)
        q->escape = true;
    else if (c == '\r' || c == '\n')
        q->done = true;
    else if (c == 3 || (c == 4 && !q->text.len))
        return PB_E_CLOSED;
    else if (c == 0x7f || c == '\b')
        erase(q);
    else if (c == 21) /* ^U */
        while (q->text.len)
            erase(q);
    else if (c >= 0x20)
        add(q, c);
    return q->text.failed ? PB_E_LIMIT : PB_OK;
}

static pb_err next_key(struct question *q)
{
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = q->signals, .events = POLLIN}};
    uint8_t c;
    if (poll(fds, 2, -1) < 0)
        return errno == EINTR ? PB_OK : PB_E_IO;
    if (fds[1].revents || read(STDIN_FILENO, &c, 1) != 1)
        return PB_E_CLOSED;
    return on_key(q, c);
}

pb_err term_ask(const char *label, bool secret, struct secret *out)
{
    struct question q = {.secret = secret};
    buf_init(&q.text, LIMIT_CREDENTIAL_BYTES);
    q.text.secret = true;
    pb_err err = question_open(&q);
    if (err)
        return err;
    fprintf(stderr, "%s: ", label);
    while (!err && !q.done)
        err = next_key(&q);
    fputc('\n', stderr);
    question_close(&q);
    if (!err)
        err = secret_set(out, buf_peek(&q.text), q.text.len);
    buf_fini(&q.text);
    return err;
}

bool term_confirm(const char *question)
{
    struct secret answer = {0};
    char label[512];
    snprintf(label, sizeof label, "%s [y/N]", question);
    bool yes = term_ask(label, false, &answer) == PB_OK &&
               (strcasecmp(answer.data, "y") == 0 || strcasecmp(answer.data, "yes") == 0);
    secret_fini(&answer);
    return yes;
}

/* -- what goes on -- */

void term_status(const struct term *t, const char *text)
{
    if (!t->err_tty)
        return;
    fprintf(stderr, CLEAR_LINE "%s", text ? text : "");
    fflush(stderr);
}

void progress_text(const struct progress *p, uint64_t now_ms, size_t width, struct buf *out)
{
    char numbers[128];
    uint64_t elapsed_ms = now_ms - p->started_ms;
    double rate = elapsed_ms ? (double)p->done * 1000.0 / (double)elapsed_ms : 0;
    int len = snprintf(numbers, sizeof numbers, " %zu of %zu %s  %.0f/s", p->done, p->total, p->what, rate);
    if (p->done && p->done < p->total) {
        uint64_t left_ms = (p->total - p->done) * elapsed_ms / p->done;
        snprintf(numbers + len, sizeof numbers - (size_t)len, "  %llu s left",
                 (unsigned long long)(left_ms + 999) / 1000);
    }
    size_t used = strlen(numbers) + 3; /* brackets, and the last column stays free */
    size_t bar = width > used + PROGRESS_BAR_MAX ? PROGRESS_BAR_MAX : width > used ? width - used : 0;
    size_t full = p->total ? bar * p->done / p->total : 0;
    if (bar > 4) {
        buf_text(out, "[");
        for (size_t i = 0; i < bar; i++)
            buf_text(out, i < full ? "#" : " ");
        buf_text(out, "]");
    }
    buf_text(out, bar > 4 ? numbers : numbers + 1);
}

static size_t err_width(void)
{
    struct winsize size = {0};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

void progress_show(struct progress *p, uint64_t now_ms, bool last)
{
    struct buf line;
    uint64_t every_ms = p->term->err_tty ? PROGRESS_EVERY_MS : p->plain_every_ms;
    if (!last && now_ms - p->shown_ms < every_ms)
        return;
    p->shown_ms = now_ms;
    buf_init(&line, 1024);
    progress_text(p, now_ms, p->term->err_tty ? err_width() : 0, &line);
    if (p->term->err_tty)
        fprintf(stderr, CLEAR_LINE "%s%s", buf_peek(&line), last ? "\n" : "");
    else
        fprintf(stderr, "%s\n", buf_peek(&line));
    fflush(stderr);
    buf_fini(&line);
}
