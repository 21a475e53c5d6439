/*
 * header.h
 *		Message headers as SQL values: jsonb and kafka_header[], in both directions.
 */
#ifndef KAFKA_HEADER_H
#define KAFKA_HEADER_H

#include "failure.h"
#include "message.h"

/*
 * jsonb: an object; a repeated name holds an array of its values in order; NULL is null; a value
 * that is not text in UTF-8 is {"base64": "..."}, a name that is not is \x... in hexadecimal. No
 * headers are an empty object. Allocated in the current context.
 */
extern Datum KafkaHeaderToJsonb(const KafkaHeader *headers, int nheaders);

/*
 * kafka_header[]: (name text, value bytea), lossless; a name that is not text in UTF-8 is therefore
 * bad data (22021), for which it returns false where failures are soft. arraytype is the column's
 * type. Allocated in the current context.
 */
extern bool KafkaHeaderToArray(const KafkaHeader *headers, int nheaders, Oid arraytype,
							   KafkaFailure *failure, Datum *result);

/*
 * The other way, for sending; 22023 for a shape that is none of the above, 22004 for an element or
 * a name that is NULL. Returns the number. Numbers and booleans are sent as their JSON text. What
 * the headers point to is the argument itself or memory of the current context.
 */
extern int	KafkaHeaderFromJsonb(Datum jsonb, KafkaHeader **headers);
extern int	KafkaHeaderFromArray(Datum array, KafkaHeader **headers);

/* True for kafka_header[] of this extension. */
extern bool KafkaHeaderIsArrayType(Oid type);

#endif							/* KAFKA_HEADER_H */
