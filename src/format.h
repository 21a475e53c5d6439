/*
 * format.h
 *		Formats in which a value holds several columns: what row.c asks of them.
 *
 * A format knows bytes and columns, and nothing of Kafka's library. format raw, in which key and
 * value are one column each, needs none of this.
 */
#ifndef KAFKA_FORMAT_H
#define KAFKA_FORMAT_H

#include "access/attnum.h"

#include "datum.h"
#include "message.h"

/* A column that is a field of the value (or of the key). */
typedef struct KafkaField
{
	const char *column;			/* its name */
	AttrNumber	attnum;
	const char *path;			/* json, debezium: a member, or members from outside in with dots
								 * between; NULL: the member of the column's own name, dots and
								 * all */
	bool		in_key;			/* json, debezium: a member of the key */
	bool		in_envelope;	/* debezium: a member of the change event, not of its row */
	bool		wanted;			/* reading: the scan shows it; sending: the statement may give it */
	bool		force_not_null; /* csv: as COPY's options of these names */
	bool		force_null;
	int			position;		/* csv: place among the fields, from 0, whether they are wanted or
								 * not */
	Oid			type;			/* the column's, which may be a domain */
	int32		typmod;
	KafkaDatumReader *reader;	/* reading: of the wanted ones */
	KafkaDatumWriter *writer;	/* sending */
} KafkaField;

typedef struct KafkaFormat
{
	/*
	 * Prepare to decode the fields of a table, which include those that are not wanted. Allocated
	 * in the current context; rowcontext is reset by the caller before each message.
	 */
	void	   *(*open_read) (const KafkaTable *table, const KafkaField *fields, int nfields,
							  MemoryContext rowcontext);

	/*
	 * Fill values and isnull, which are indexed by attnum - 1, of the wanted fields. isnull is
	 * true for all of them beforehand; a bad field stays so, and is reported with failure->column
	 * set to its name. A message that is bad as a whole is reported with failure->column NULL.
	 * Runs in rowcontext.
	 */
	void		(*read) (void *state, const KafkaMessage *message, Datum *values, bool *isnull,
						 KafkaFailure *failure);

	/*
	 * What the message read last, which has a value, does to the row of its key, and which of the
	 * wanted fields it does not have: see KafkaRowChange. NULL where each is the row.
	 */
	KafkaChange (*change) (void *state, const bool **unavailable);

	/* Prepare to encode. */
	void	   *(*open_write) (const KafkaTable *table, const KafkaField *fields, int nfields);

	/*
	 * Make the message's value (and its key, where fields are in the key) of the wanted fields,
	 * in the current context, in the table's encoding. What the caller has put there already is
	 * replaced.
	 */
	void		(*write) (void *state, const Datum *values, const bool *isnull,
						  KafkaOutgoing *message);
} KafkaFormat;

extern const KafkaFormat KafkaFormatJson;
extern const KafkaFormat KafkaFormatCsv;
extern const KafkaFormat KafkaFormatDebezium;

#endif							/* KAFKA_FORMAT_H */
