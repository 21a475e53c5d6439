/*
 * placeholder.h
 *		What stands in a change event for a value that it does not have.
 */
#ifndef KAFKA_PLACEHOLDER_H
#define KAFKA_PLACEHOLDER_H

#include "lib/stringinfo.h"

/* Whether a value's JSON is what Debezium writes for one out of line that an UPDATE did not touch. */
extern bool KafkaPlaceholderIs(const char *json, Size size);

/* Write the JSON at the end of output, from start on, in another way, if it looks like a placeholder. */
extern void KafkaPlaceholderAvoid(StringInfo output, int start);

#endif							/* KAFKA_PLACEHOLDER_H */
