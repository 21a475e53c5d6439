/*
 * row_private.h
 *		What row.c, row_read.c and row_write.c share with nobody else.
 */
#ifndef KAFKA_ROW_PRIVATE_H
#define KAFKA_ROW_PRIVATE_H

#include "format.h"
#include "row.h"

#define EPOCH_DIFFERENCE_MS (KAFKA_EPOCH_DIFFERENCE_US / 1000)

/* A column that shows a part of the message; columns that are fields are the format's. */
typedef struct RowColumn
{
	KafkaPart	part;
	AttrNumber	attnum;
	const char *name;
	Oid			declared;		/* the column's type */
	Oid			type;			/* the same, or a domain's base type */
	int32		typmod;
	void	   *domain_cache;	/* domain_check's */
	MemoryContext domain_context;	/* NULL: there is nothing to check */
	Datum		constants[2];	/* the topic's name, or the two timestamp types */
	KafkaDatumReader *reader;	/* keys, values and junk, when reading */
	KafkaDatumWriter *writer;	/* keys, values and the topic, when sending */
	bool		given;			/* sending: the statement may give it */
} RowColumn;

struct KafkaRow
{
	const char *relname;
	const char *topic;
	MemoryContext context;		/* in which the row was opened */
	MemoryContext rowcontext;	/* reset for each row */
	RowColumn  *columns;
	int			ncolumns;
	int			njunk;			/* of these, the last ones, for what is wrong with the others */
	KafkaField *fields;
	int			nfields;
	const KafkaFormat *format;	/* NULL where no field is wanted */
	void	   *format_state;
	bool		value_fields;	/* of those wanted, some are in the value ... */
	bool		key_fields;		/* ... or in the key */
	KafkaFailure failure;

	/* reading */
	bool		skip;			/* leave rows out that are bad */
	int64		nskipped;
	char	   *first_skipped;	/* where the first of them was, and what was wrong */

	/* sending */
	int64		nrows;			/* rows fetched */
	bool		value_column;	/* there is a column for the whole value */
	int64		sent_timestamp; /* of the last row fetched, or KAFKA_NO_TIMESTAMP */

	/* for the error context */
	const RowColumn *column;	/* being converted, or NULL */
	const KafkaMessage *message;	/* being read, or NULL */
};

/* row.c */

/* A row with all columns of a relation, none of which is wanted yet. */
extern KafkaRow *kafka_row_open(Relation rel, const KafkaTable *table, bool soft);

/* Have the format read, or write, a field. */
extern void kafka_row_want_field(KafkaRow *row, KafkaField *field);

extern const KafkaFormat *kafka_row_format(const KafkaTable *table);

/* Errors meanwhile say which message, or which row, they are about. */
extern void kafka_row_push_context(KafkaRow *row, ErrorContextCallback *callback);
extern void kafka_row_pop_context(ErrorContextCallback *callback);

/*
 * The parts of a message as datums, in the current context. The constants have to be made before
 * they are used. False where a time is out of range and the failure is soft.
 */
extern void kafka_row_make_constants(KafkaRow *row, RowColumn *column);
extern Datum kafka_row_integer(const RowColumn *column, int64 value);
extern bool kafka_row_time(KafkaRow *row, const RowColumn *column, int64 ms, Datum *value);

/* What the column's domain has to say. */
static inline bool
kafka_row_check_domain(KafkaRow *row, RowColumn *column, Datum value, bool isnull)
{
	if (likely(column->domain_context == NULL))
		return true;
	return KafkaFailureDomain(&row->failure, value, isnull, column->declared,
							  &column->domain_cache, column->domain_context);
}

#endif							/* KAFKA_ROW_PRIVATE_H */
