/*
 * datum.h
 *		Bytes of a message as one datum of any type, and back.
 *
 * In format raw a whole key or value is one datum; the other formats make a datum of each field.
 */
#ifndef KAFKA_DATUM_H
#define KAFKA_DATUM_H

#include "failure.h"
#include "option.h"

typedef struct KafkaDatumReader KafkaDatumReader;
typedef struct KafkaDatumWriter KafkaDatumWriter;

/*
 * Prepare to make datums of a type, a domain's included. Allocated in the current context. What a
 * datum needs lives in the reader, until its next use, or in rowcontext, which the caller resets
 * from row to row.
 */
extern KafkaDatumReader *KafkaDatumOpenRead(Oid type, int32 typmod, int encoding,
											KafkaInvalidText invalid, MemoryContext rowcontext);

/*
 * The datum of some bytes, or NULL (NULL bytes, or bytes that are not text with invalid_text null).
 * bytea gets the bytes as they are, every other type through text and its input function. False
 * where they are no value of the type, or the domain refuses it, and the failure is soft.
 */
extern bool KafkaDatumRead(KafkaDatumReader *reader, const char *data, Size len,
						   KafkaFailure *failure, Datum *value, bool *isnull);

/*
 * The same of text that is known to be valid in the database's encoding, and need not be
 * zero-terminated; bytea reads it in its own notation. NULL is text NULL. Numbers,
 * booleans, times and text take short cuts past their input functions with the same result. To be
 * called in rowcontext.
 */
extern bool KafkaDatumReadText(KafkaDatumReader *reader, const char *text, Size len,
							   KafkaFailure *failure, Datum *value, bool *isnull);

/* Prepare to send datums of a type. Allocated in the current context. */
extern KafkaDatumWriter *KafkaDatumOpenWrite(Oid type, int encoding);

/* The same for bytes that are the same whichever session writes them: times are in UTC. */
extern KafkaDatumWriter *KafkaDatumOpenWriteSame(Oid type, int encoding);

/*
 * The bytes of a datum that is not NULL, never NULL themselves: part of the datum, or in the
 * current context. Output that depends on settings is made under fixed ones, so that any session
 * can read it again.
 */
extern void KafkaDatumWrite(KafkaDatumWriter *writer, Datum value, const char **data, Size *len);

/* The same as text of the database's encoding, zero-terminated; bytea in its own notation. */
extern const char *KafkaDatumWriteText(KafkaDatumWriter *writer, Datum value, Size *len);

#endif							/* KAFKA_DATUM_H */
