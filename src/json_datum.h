/*
 * json_datum.h
 *		Datums as JSON, and arrays and composites of JSON.
 *
 * Scalars of JSON are datum.h's matter.
 */
#ifndef KAFKA_JSON_DATUM_H
#define KAFKA_JSON_DATUM_H

#include "lib/stringinfo.h"

#include "failure.h"

typedef struct KafkaJsonPopulator KafkaJsonPopulator;
typedef struct KafkaJsonWriter KafkaJsonWriter;

/* True for arrays, composites, and domains over them. */
extern bool KafkaJsonIsNested(Oid type);

/*
 * Prepare to read such a type, for a column of this name. Allocated in the current context, which
 * has to live as long as it is used.
 */
extern KafkaJsonPopulator *KafkaJsonOpenPopulate(const char *column, Oid type, int32 typmod);

/*
 * The datum of valid JSON text, by the rules of json_populate_record(), in the current context. A
 * domain is checked, of NULL too. False where it is no value of the type and the failure is soft.
 */
extern bool KafkaJsonPopulate(KafkaJsonPopulator *populator, const char *json, Size size,
							  KafkaFailure *failure, Datum *value, bool *isnull);

/* How types are written for which to_json() is not the model. */
typedef enum KafkaJsonStyle
{
	KAFKA_JSON_PLAIN,			/* there are none */
	KAFKA_JSON_CHANGE,			/* changes of rows: the same for all sessions, times in UTC,
								 * intervals as ISO 8601 has them, bytea in base64, oid as a
								 * number, numeric as a string */
	KAFKA_JSON_CHANGE_NUMBER	/* the same, but numeric as a number */
} KafkaJsonStyle;

/* Prepare to write a type. Allocated in the current context, as before. */
extern KafkaJsonWriter *KafkaJsonOpenWrite(Oid type, KafkaJsonStyle style);

/*
 * Append a datum, which is not NULL, as to_json() has it, in the database's encoding. What depends
 * on settings is made under fixed ones, and casts to json do not count, so that what is read again
 * is the same datum.
 */
extern void KafkaJsonWrite(KafkaJsonWriter *writer, Datum value, StringInfo output);

#endif							/* KAFKA_JSON_DATUM_H */
