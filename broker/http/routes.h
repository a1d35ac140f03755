/* The table of everything that is served, and the way from a method and a path to its row. */
#ifndef PB_HTTP_ROUTES_H
#define PB_HTTP_ROUTES_H

#include "broker/http/auth.h"
#include "broker/http/request.h"

typedef void http_handler(struct http_request *r);

struct route {
    const char *method, *pattern; /* "/v1/jobs/{id}:cancel", spelled as in schemas/openapi.yaml */
    http_handler *handler;        /* on the loop's thread */
    enum auth_role role;          /* the least that may; ROLE_NONE: anyone, without a token */
    const char *const *query;     /* the parameters it knows, up to a NULL; NULL: none */
    size_t body_max;              /* bytes; 0: a body is read and dropped */
};

struct route_match {
    const struct route *route;       /* NULL: none */
    const char *args[HTTP_ARGS_MAX]; /* what stands for the {names}, lent from the target */
    char allow[40];                  /* the methods of the path, as in an Allow header; "": no such path */
};

/* HEAD is served by the row of GET. */
void routes_match(const char *method, const struct http_target *target, struct route_match *out);
/* By number; NULL past the last. */
const struct route *routes_at(size_t i);

/* The name of the type that was probably meant; NULL: none is near. Lent from all. */
const char *types_nearest(const struct manifests *all, const char *type);

/* Refuses a request for a type that is not there, naming the nearest. */
void types_refuse(struct http_request *r, const char *type);

/* The handlers, by the file that has them. */
http_handler health_alive, health_ready;                               /* health.c */
http_handler openapi_get;                                              /* openapi.c */
http_handler types_list, types_get, types_schema;                      /* types.c */
http_handler types_check, types_check_lines;                           /* types_events.c */
http_handler events_check, events_check_lines;                         /* events.c */
http_handler integrations_list, integrations_get;                      /* integrations.c */
http_handler integrations_delete, integrations_validate;               /* integrations.c */
http_handler setup_create;                                             /* setup.c */
http_handler integrations_test;                                        /* test.c */
http_handler batches_list, batches_create, batches_get, batches_patch; /* batches.c */
http_handler batches_pause, batches_resume, batches_cancel;            /* batches.c */
http_handler schedules_list, schedules_get;                            /* schedules.c */
http_handler schedules_set, schedules_delete;                          /* schedules.c */
http_handler jobs_create;                                              /* submit.c */
http_handler jobs_list, jobs_replay;                                   /* jobs_list.c */
http_handler jobs_get, jobs_cancel, jobs_retry;                        /* jobs_one.c */
http_handler queue_get, queue_pause, queue_resume;                     /* queue.c */
http_handler workers_list, workers_drain;                              /* workers.c */
http_handler metrics_get;                                              /* metrics.c */

#endif
