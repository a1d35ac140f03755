/* What the workers say, brought to the board: they join, report, leave. On the loop's thread. */
#ifndef PB_MEMBERS_H
#define PB_MEMBERS_H

#include "broker/links.h"

/* For links_open(), with the struct broker as its arg. */
extern const struct links_events members_of_links;

#endif
