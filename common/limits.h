/* Every maximum of the project, with its unit. A queue, buffer or retry without an entry here is a defect. */
#ifndef PB_LIMITS_H
#define PB_LIMITS_H

/* ids and names */
#define LIMIT_TYPE_CHARS       63 /* a type's name: ^[a-z][a-z0-9-]{0,62}$ */
#define LIMIT_TENANT_CHARS     63
#define LIMIT_NAME_CHARS       200 /* an integration's name, in bytes of UTF-8 */
#define LIMIT_HOST_CHARS       253 /* RFC 1035, section 2.3.4 */
#define LIMIT_IDEM_CHARS       255 /* an Idempotency-Key */
#define LIMIT_EVENT_TYPE_CHARS 120
#define LIMIT_FIELD_NAME_CHARS 64
#define LIMIT_WORKER_NAME      63

/* packages */
#define LIMIT_PACKAGES          2000
#define LIMIT_MANIFEST_BYTES    (256 * 1024)
#define LIMIT_SCHEMA_BYTES      (1024 * 1024)
#define LIMIT_PACKAGE_FIELDS    64
#define LIMIT_PACKAGE_EVENTS    2000
#define LIMIT_JSON_DEPTH        64
#define LIMIT_TEST_STEPS        8
#define LIMIT_TEMPLATE_CHARS    4096
#define LIMIT_CREDENTIAL_BYTES  (16 * 1024) /* one field's value */
#define LIMIT_CREDENTIALS_BYTES (64 * 1024) /* all of an integration's */
#define LIMIT_RESULT_MESSAGE    300         /* bytes of a provider's message that are kept */
#define LIMIT_RESULT_WARNINGS   8

/* HTTP served */
#define LIMIT_HTTP_BODY_BYTES   (1024 * 1024)
#define LIMIT_HTTP_BULK_BYTES   (16 * 1024 * 1024)  /* where many jobs come at once */
#define LIMIT_HTTP_BODIES_BYTES (256 * 1024 * 1024) /* of all requests under way */
#define LIMIT_HTTP_HEADER_BYTES (16 * 1024)
#define LIMIT_HTTP_CONNECTIONS  1000
#define LIMIT_HTTP_IDLE_SECONDS 15
#define LIMIT_HTTP_WAIT_SECONDS 60 /* the longest Prefer: wait */
#define LIMIT_HTTP_PAGE         500
#define LIMIT_HTTP_PAGE_DEFAULT 50
#define LIMIT_HTTP_QUEUE        2000 /* requests handed to the loop and not yet answered */

/* provider requests */
#define LIMIT_TRANSFER_BODY_BYTES  (2 * 1024 * 1024) /* a provider's answer, after decompression */
#define LIMIT_TRANSFER_HEADERS     (64 * 1024)
#define LIMIT_TRANSFER_REDIRECTS   5
#define LIMIT_TRANSFER_TIMEOUT_MS  60000
#define LIMIT_TRANSFER_MAXCONNECTS 256
#define LIMIT_TRANSFER_CONNECT_MS  10000 /* name lookup, TCP and TLS, of the request's time */
#define LIMIT_TRANSFER_WAITING     10000 /* requests not begun yet */
#define LIMIT_TRANSFER_LOOKUPS     64    /* name lookups at a time: each takes a thread */
#define LIMIT_TRANSFER_POOL        64    /* idle easy handles that are kept */
#define LIMIT_TRANSFER_HOSTS       40    /* allowed hosts of one request */
#define LIMIT_EGRESS_RANGES        64    /* CIDRs let through */

/* connection tests */
#define LIMIT_REQUEST_BYTES   (256 * 1024) /* address, header or body, after templates */
#define LIMIT_REQUEST_HEADERS 64
#define LIMIT_TEMPLATE_DEPTH  8 /* functions within functions */
#define LIMIT_TEST_RULES      64
#define LIMIT_TEST_CONDITIONS 32
#define LIMIT_TEST_STATUSES   64
#define LIMIT_TEST_PARAMETERS 32 /* of a query or form, or headers, of one step */
#define LIMIT_TEST_AUTHS      8
#define LIMIT_RETRY_AFTER_MS  (7 * 24 * 3600 * 1000) /* the longest wait a provider can ask for */
#define LIMIT_CHECKS_BYTES    (4 * 1024 * 1024)

/* messages inside the cluster */
#define LIMIT_MESSAGE_BYTES  (4 * 1024 * 1024)
#define LIMIT_MESSAGE_DEPTH  32
#define LIMIT_MESSAGE_ITEMS  200000 /* msgpack objects in one message */
#define LIMIT_BATCH_ENTRIES  512    /* attempts or outcomes in one message */
#define LIMIT_BATCH_BYTES    (256 * 1024)
#define LIMIT_SESSIONS       1024
#define LIMIT_HELLOS_PENDING 256
#define LIMIT_RETIRED        1024 /* sockets of sessions that are over, not closed yet */
#define LIMIT_HELLO_MS       5000
#define LIMIT_HELLO_REFUSALS 20   /* a second; what is over is dropped unanswered */
#define LIMIT_LIMBO          64   /* sockets left unread until they can be closed */
#define LIMIT_CAPACITY       4096 /* attempts one worker may hold */

/* events */
#define LIMIT_EVENT_BYTES        (1024 * 1024) /* one payload */
#define LIMIT_EVENT_LINES        100000        /* payloads of one request */
#define LIMIT_EVENT_CHUNK_BYTES  (256 * 1024)  /* of one job, unless it holds only one payload */
#define LIMIT_EVENT_CHUNK_LINES  500
#define LIMIT_EVENT_CHUNKS       8            /* jobs of one request at a time */
#define LIMIT_EVENT_ANSWER_BYTES (256 * 1024) /* of one job; LIMIT_BATCH_BYTES is what a result may have */
#define LIMIT_EVENT_LINE_ANSWER  (16 * 1024)  /* of one payload among many */
#define LIMIT_EVENT_ANSWERS      (64 * 1024 * 1024) /* of all payloads of one request */
#define LIMIT_EVENT_WAITING      (64 * 1024 * 1024) /* bytes that wait for a worker's checking threads */
#define LIMIT_EVENT_SCHEMAS      1000               /* compiled and not in use, kept */
#define LIMIT_EVENT_SCHEMA_BYTES (64 * 1024 * 1024)

/* board and journal */
#define LIMIT_JOBS_LIVE           2000000
#define LIMIT_JOBS_SUBMITTED      10000 /* in one request */
#define LIMIT_JOB_DELAY_SECONDS   (366 * 24 * 3600)
#define LIMIT_PING_BYTES          (64 * 1024) /* a ping's payload */
#define LIMIT_REPLAY_PER_SECOND   1000
#define LIMIT_JOB_ATTEMPTS        20  /* that end without an outcome, unless the job says fewer */
#define LIMIT_JOB_CRASHES         2   /* workers that died running it alone: then it is poison */
#define LIMIT_PAUSES              200 /* gates that are closed */
#define LIMIT_BATCHES             64  /* under way */
#define LIMIT_BATCHES_TENANT      16  /* of them of one tenant */
#define LIMIT_SCHEDULES           1000
#define LIMIT_SCHEDULES_TENANT    200 /* of them of one tenant */
#define LIMIT_SCHEDULE_CHARS      63 /* a schedule's name: ^[a-z0-9][a-z0-9-]{0,62}$ */
#define LIMIT_CRON_CHARS          255
#define LIMIT_ZONE_CHARS          63          /* a time zone's name */
#define LIMIT_ZONE_BYTES          (64 * 1024) /* its file; the largest of tzdata has less than 4 KiB */
#define LIMIT_JITTER_SECONDS      3600
#define LIMIT_REPLAYS             4     /* sending dead jobs again, at a time */
#define LIMIT_PURGE_ROWS          500   /* finished jobs removed in one commit */
#define LIMIT_JOURNAL_OPS         20000 /* waiting for a commit */
#define LIMIT_COMMIT_OPS          2000  /* in one commit */
#define LIMIT_READS               20000 /* waiting for the reader */
#define LIMIT_PAYLOAD_CACHE_BYTES (64 * 1024 * 1024)

#endif
