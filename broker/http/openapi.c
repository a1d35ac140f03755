/* The description of this API, built into the broker so that the two never part. */
#include "broker/http/routes.h"

#include <stdlib.h>
#include <string.h>

static const unsigned char text[] = {
#include "openapi.inc"
};

void openapi_get(struct http_request *r)
{
    char *copy = malloc(sizeof text);
    if (!copy) {
        http_refuse_error(r, PB_E_MEMORY, NULL);
        return;
    }
    memcpy(copy, text, sizeof text);
    http_answer_text(r, 200, "application/yaml", copy, sizeof text);
}
