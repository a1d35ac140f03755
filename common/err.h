/* Errors: a code for the program, a sentence for a person.
 *
 * A function that can fail returns pb_err and writes its results only on PB_OK. Where a person can have
 * caused the failure, it also takes a struct pb_why and fills it: what is wrong, where, and what to do.
 * Layers between pass both up; the one that handles the error logs or prints it, once. */
#ifndef PB_ERR_H
#define PB_ERR_H

typedef enum pb_err {
    PB_OK = 0,
    PB_E_MEMORY,  /* allocation failed */
    PB_E_INVALID, /* input that does not follow its format */
    PB_E_LIMIT,   /* input or state beyond a limit */
    PB_E_NOT_FOUND,
    PB_E_EXISTS,   /* name or id already taken */
    PB_E_CONFLICT, /* the condition of a conditional write did not hold */
    PB_E_BUSY,     /* full now, may be tried again */
    PB_E_AGAIN,    /* would block */
    PB_E_CLOSED,   /* the other side is gone */
    PB_E_DENIED,   /* not allowed, or not authentic */
    PB_E_IO,       /* the operating system refused; why says what */
    PB_E_STORE,    /* the store failed or is unreachable */
    PB_E_UNSUPPORTED,
} pb_err;

#define PB_CHECKED __attribute__((warn_unused_result))

/* What is wrong, for a person. Plain data, copied. */
struct pb_why {
    char at[192];   /* the place: JSON pointer, file, option, address; may be empty */
    char text[512]; /* a sentence that says what is wrong and what to do, without a full stop at its end */
};

/* Fills why (which may be NULL) and returns err, so that a failure is one statement:
 * return pb_fail(why, PB_E_INVALID, "/name", "must not be empty"). at may be NULL. */
pb_err pb_fail(struct pb_why *why, pb_err err, const char *at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The code's name in lower case, as in logs: "not_found". Never NULL. */
const char *pb_err_name(pb_err err);

#endif
