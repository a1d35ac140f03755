/* Files of a package, never through a link and never out of its folder. Any thread; blocks on the disk. */
#ifndef PB_PACKAGE_FILE_H
#define PB_PACKAGE_FILE_H

#include "common/buf.h"
#include "common/err.h"

/* The whole regular file at a path relative to folder; out is filled on success, and the caller's then.
 * PB_E_NOT_FOUND; PB_E_DENIED: a link, a way out (.. or /), no regular file; PB_E_LIMIT: larger than
 * max_bytes; PB_E_IO. */
pb_err package_file_read(const char *folder, const char *path, size_t max_bytes, struct buf *out) PB_CHECKED;

#endif
