#include "tests/store/fault_vfs.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *data;
    size_t len, capacity;
};

enum doubt {
    SETTLED = 0,
    WRITTEN, /* since the last sync */
    DOOMED,  /* a sync of it failed: the next one will not write it */
};

struct fault_image {
    char *path;
    struct bytes now, safe, doubts; /* doubts: an enum doubt per sector */
    bool deleted;                   /* safe is what comes back, until the folder is synced */
    bool created;                   /* a journal or log, whose first sync syncs its folder, too */
    struct fault_image *next;
};

/* An open file. Its methods are the usual ones but for those that change the disk; SQLite's own file object
 * stays as it is. */
struct opened {
    sqlite3_io_methods methods;
    const sqlite3_io_methods *usual;
    struct fault_vfs *vfs;
    struct fault_image *image;
};

static struct opened *opened_of(sqlite3_file *file)
{
    return (struct opened *)(uintptr_t)file->pMethods; /* the first member */
}

/* -- images -- */

static void resize(struct bytes *b, size_t len)
{
    if (len > b->capacity) {
        b->capacity = len * 2;
        b->data = realloc(b->data, b->capacity);
        assert(b->data);
    }
    if (len > b->len)
        memset(b->data + b->len, 0, len - b->len);
    b->len = len;
}

static size_t sectors(size_t bytes)
{
    return (bytes + FAULT_SECTOR_BYTES - 1) / FAULT_SECTOR_BYTES;
}

static void doubt(struct fault_image *image, size_t from, size_t to)
{
    if (sectors(to) > image->doubts.len)
        resize(&image->doubts, sectors(to));
    for (size_t i = from / FAULT_SECTOR_BYTES; i < sectors(to); i++)
        image->doubts.data[i] = WRITTEN;
}

static void load(struct fault_image *image)
{
    FILE *f = fopen(image->path, "r");
    char chunk[4096];
    size_t n;
    while (f && (n = fread(chunk, 1, sizeof chunk, f)) > 0) {
        resize(&image->now, image->now.len + n);
        memcpy(image->now.data + image->now.len - n, chunk, n);
    }
    if (f)
        fclose(f);
    resize(&image->safe, image->now.len);
    if (image->now.len)
        memcpy(image->safe.data, image->now.data, image->now.len);
}

static struct fault_image *find(struct fault_vfs *v, const char *path)
{
    struct fault_image *i = v->images;
    while (i && strcmp(i->path, path) != 0)
        i = i->next;
    return i;
}

static struct fault_image *find_or_load(struct fault_vfs *v, const char *path, bool is_journal)
{
    struct fault_image *image = find(v, path);
    bool known = image && !image->deleted;
    if (!image) {
        image = calloc(1, sizeof *image);
        assert(image);
        image->path = strdup(path);
        image->next = v->images;
        v->images = image;
        load(image);
    }
    if (!known)
        image->created = is_journal && !image->now.len;
    image->deleted = false;
    return image;
}

static void note_write(struct fault_image *image, const void *bytes, size_t len, size_t at)
{
    if (at + len > image->now.len)
        resize(&image->now, at + len);
    memcpy(image->now.data + at, bytes, len);
    doubt(image, at, at + len);
}

static void note_truncation(struct fault_image *image, size_t len)
{
    size_t before = image->now.len;
    resize(&image->now, len);
    if (len < before)
        doubt(image, len, before);
}

static void note_sync(struct fault_image *image, bool failed)
{
    if (!failed)
        resize(&image->safe, image->now.len);
    for (size_t i = 0; i < image->doubts.len; i++) {
        size_t at = i * FAULT_SECTOR_BYTES, end = at + FAULT_SECTOR_BYTES;
        uint8_t *d = &image->doubts.data[i];
        end = end < image->now.len ? end : image->now.len;
        if (*d == WRITTEN && !failed && at < end)
            memcpy(image->safe.data + at, image->now.data + at, end - at);
        if (*d == WRITTEN)
            *d = failed ? DOOMED : SETTLED;
    }
}

/* All files lie in one folder, as a database's do. */
static void note_folder_sync(struct fault_vfs *v)
{
    for (struct fault_image *i = v->images; i; i = i->next)
        if (i->deleted)
            resize(&i->safe, 0);
}

static void note_deletion(struct fault_image *image)
{
    image->deleted = true;
    resize(&image->now, 0);
    resize(&image->doubts, 0);
    doubt(image, 0, image->safe.len);
}

static void free_image(struct fault_image *image)
{
    free(image->path);
    free(image->now.data);
    free(image->safe.data);
    free(image->doubts.data);
    free(image);
}

/* -- what the layer does -- */

static void step(struct fault_vfs *v)
{
    v->steps++;
    if (!v->before || v->paused)
        return;
    v->paused = true;
    v->before(v->arg, v);
    v->paused = false;
}

/* Does this write fail? */
static bool refuses(struct fault_vfs *v, int len)
{
    if (!v->write_error)
        return false;
    if (v->write_error_after < len)
        return true;
    v->write_error_after -= len;
    return false;
}

static int write_file(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    struct opened *o = opened_of(file);
    struct fault_vfs *v = o->vfs;
    pthread_mutex_lock(&v->lock);
    step(v);
    v->writes++;
    int rc = refuses(v, len) ? v->write_error : o->usual->xWrite(file, bytes, len, at);
    if (rc == SQLITE_OK)
        note_write(o->image, bytes, (size_t)len, (size_t)at);
    pthread_mutex_unlock(&v->lock);
    return rc;
}

/* The usual disk's own sync is left out: what it would add is only time. */
static int sync_file(sqlite3_file *file, int flags)
{
    struct opened *o = opened_of(file);
    struct fault_vfs *v = o->vfs;
    (void)flags;
    pthread_mutex_lock(&v->lock);
    step(v);
    v->syncs++;
    int rc = v->sync_error;
    note_sync(o->image, rc != SQLITE_OK);
    if (rc == SQLITE_OK && o->image->created) {
        note_folder_sync(v);
        o->image->created = false;
    }
    pthread_mutex_unlock(&v->lock);
    return rc;
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 len)
{
    struct opened *o = opened_of(file);
    pthread_mutex_lock(&o->vfs->lock);
    step(o->vfs);
    int rc = o->usual->xTruncate(file, len);
    if (rc == SQLITE_OK)
        note_truncation(o->image, (size_t)len);
    pthread_mutex_unlock(&o->vfs->lock);
    return rc;
}

static int close_file(sqlite3_file *file)
{
    struct opened *o = opened_of(file);
    file->pMethods = o->usual;
    free(o);
    return file->pMethods->xClose(file);
}

static struct fault_vfs *fault_of(sqlite3_vfs *layer)
{
    return layer->pAppData;
}

static int open_file(sqlite3_vfs *layer, const char *name, sqlite3_file *file, int flags, int *out)
{
    const int tracked = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL;
    struct fault_vfs *v = fault_of(layer);
    pthread_mutex_lock(&v->lock);
    struct fault_image *image = name && (flags & tracked) && !v->paused
                                    ? find_or_load(v, name, !(flags & SQLITE_OPEN_MAIN_DB))
                                    : NULL;
    int rc = v->usual->xOpen(v->usual, name, file, flags, out);
    if (rc == SQLITE_OK && image) {
        struct opened *o = malloc(sizeof *o);
        assert(o);
        *o = (struct opened){.methods = *file->pMethods, .usual = file->pMethods, .vfs = v, .image = image};
        o->methods.xWrite = write_file;
        o->methods.xSync = sync_file;
        o->methods.xTruncate = truncate_file;
        o->methods.xClose = close_file;
        file->pMethods = &o->methods;
    }
    pthread_mutex_unlock(&v->lock);
    return rc;
}

static int delete_file(sqlite3_vfs *layer, const char *name, int sync_folder)
{
    struct fault_vfs *v = fault_of(layer);
    pthread_mutex_lock(&v->lock);
    struct fault_image *image = v->paused ? NULL : find(v, name);
    if (image)
        step(v);
    int rc = v->usual->xDelete(v->usual, name, 0);
    if (rc == SQLITE_OK && image)
        note_deletion(image);
    if (rc == SQLITE_OK && sync_folder)
        note_folder_sync(v);
    pthread_mutex_unlock(&v->lock);
    return rc;
}

void fault_vfs_install(struct fault_vfs *v)
{
    pthread_mutexattr_t again;
    *v = (struct fault_vfs){.usual = sqlite3_vfs_find(NULL)};
    assert(v->usual);
    pthread_mutexattr_init(&again);
    pthread_mutexattr_settype(&again, PTHREAD_MUTEX_RECURSIVE); /* before() may open databases */
    pthread_mutex_init(&v->lock, &again);
    v->layer = *v->usual;
    v->layer.zName = "fault";
    v->layer.pNext = NULL;
    v->layer.pAppData = v;
    v->layer.xOpen = open_file;
    v->layer.xDelete = delete_file;
    int rc = sqlite3_vfs_register(&v->layer, 1);
    assert(rc == SQLITE_OK);
    (void)rc;
}

void fault_vfs_remove(struct fault_vfs *v)
{
    sqlite3_vfs_unregister(&v->layer);
    while (v->images) {
        struct fault_image *image = v->images;
        v->images = image->next;
        free_image(image);
    }
    pthread_mutex_destroy(&v->lock);
}

/* -- a loss of power -- */

static bool chance(unsigned keep, uint64_t *seed) /* xorshift64* */
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return (unsigned)((*seed * UINT64_C(2685821657736338717)) >> 56) < keep;
}

/* What is left of a file, in out. */
static void survive(const struct fault_image *image, unsigned keep, uint64_t *seed, struct bytes *out)
{
    bool cut = image->now.len < image->safe.len && chance(keep, seed);
    resize(out, cut ? image->now.len : image->safe.len);
    if (out->len)
        memcpy(out->data, image->safe.data, out->len);
    for (size_t i = 0; i < image->doubts.len; i++) {
        size_t at = i * FAULT_SECTOR_BYTES, end = at + FAULT_SECTOR_BYTES;
        end = end < image->now.len ? end : image->now.len;
        if (image->doubts.data[i] == SETTLED || at >= end || !chance(keep, seed))
            continue;
        if (end > out->len)
            resize(out, end);
        memcpy(out->data + at, image->now.data + at, end - at);
    }
}

static const char *place(const struct fault_image *image, const char *folder, char *path, size_t size)
{
    const char *slash = strrchr(image->path, '/');
    if (folder)
        snprintf(path, size, "%s/%s", folder, slash ? slash + 1 : image->path);
    else
        snprintf(path, size, "%s", image->path);
    return path;
}

static bool write_image(const char *path, const struct bytes *b)
{
    remove(path);
    if (!b->len) /* to SQLite an empty file is none */
        return true;
    FILE *f = fopen(path, "w");
    bool ok = f && fwrite(b->data, 1, b->len, f) == b->len;
    return f && fclose(f) == 0 && ok;
}

bool fault_vfs_power_cut(struct fault_vfs *v, const char *folder, unsigned keep, uint64_t *seed)
{
    bool ok = true;
    pthread_mutex_lock(&v->lock);
    for (const struct fault_image *i = v->images; i; i = i->next) {
        struct bytes left = {0};
        char path[1024];
        survive(i, keep, seed, &left);
        ok = write_image(place(i, folder, path, sizeof path), &left) && ok;
        free(left.data);
    }
    pthread_mutex_unlock(&v->lock);
    return ok;
}
