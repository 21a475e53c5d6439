/*
 * format_raw.h
 *		A key or a value as one datum of any type: the whole of the bytes, and back.
 *
 * Other formats, which make several columns of a value, stand beside this one.
 */
#ifndef KAFKA_FORMAT_RAW_H
#define KAFKA_FORMAT_RAW_H

#include "option.h"

typedef struct KafkaRawReader KafkaRawReader;
typedef struct KafkaRawWriter KafkaRawWriter;

/*
 * Prepare to make datums of a type, which is not a domain (the caller checks these). Allocated in
 * the current context. What a datum needs lives in the reader, until its next use, or in
 * rowcontext, which the caller resets from row to row.
 */
extern KafkaRawReader *KafkaRawOpenRead(Oid type, int32 typmod, int encoding,
										KafkaInvalidText invalid, MemoryContext rowcontext);

/*
 * The datum of some bytes; false where it is NULL (NULL bytes, or bytes that are not text with
 * invalid_text null). bytea gets the bytes as they are, every other type through text: whatever
 * its input function raises is raised.
 */
extern bool KafkaRawRead(KafkaRawReader *reader, const char *data, Size len, Datum *result);

/* Prepare to send datums of a type. Allocated in the current context. */
extern KafkaRawWriter *KafkaRawOpenWrite(Oid type, int encoding);

/*
 * The bytes of a datum that is not NULL, never NULL themselves: part of the datum, or in the
 * current context. Output that depends on settings is made under fixed ones, so that any session
 * can read it again.
 */
extern void KafkaRawWrite(KafkaRawWriter *writer, Datum value, const char **data, Size *len);

#endif							/* KAFKA_FORMAT_RAW_H */
