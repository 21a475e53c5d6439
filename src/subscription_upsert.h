/*
 * subscription_upsert.h
 *		What the two files of mode upsert share: how source and target fit, and what is kept of a batch.
 */
#ifndef KAFKA_SUBSCRIPTION_UPSERT_H
#define KAFKA_SUBSCRIPTION_UPSERT_H

#include "executor/executor.h"
#include "utils/rel.h"

#include "subscription_private.h"

/* A column of the target that has one of its name in the source. */
typedef struct UpsertColumn
{
	const char *name;
	AttrNumber	source;
	AttrNumber	target;
	bool		is_key;
} UpsertColumn;

/* A column of the key, in the order of its unique index. */
typedef struct UpsertKey
{
	int			column;			/* of columns */
	Oid			equal;			/* the index's operator ... */
	Oid			collation;		/* ... and collation */
} UpsertKey;

/* What becomes of the row of a key. */
typedef struct UpsertRow
{
	MinimalTuple key;
	MinimalTuple tuple;			/* all columns; NULL: there is to be no row */
	Bitmapset  *unavailable;	/* columns that the messages do not have: they stay as they are */
	bool		deleted;		/* the row that was there before goes */
} UpsertRow;

typedef struct KafkaUpsert
{
	Relation	source;
	Relation	target;
	UpsertColumn *columns;
	int			ncolumns;
	UpsertKey  *keys;
	int			nkeys;
	bool		exact_key;		/* keys that are equal have the same bytes */
	bool		overriding;		/* the target has a column that is GENERATED ALWAYS AS IDENTITY */
	Bitmapset  *used;			/* attributes of the source, as KafkaRowOpenRead takes them */
	TupleDesc	desc;			/* of columns */
	TupleDesc	key_desc;		/* of keys */
	ExprContext *econtext;
	ProjectionInfo *project;	/* a row of the source to one of columns ... */
	ProjectionInfo *project_key;	/* ... or of keys */
	TupleTableSlot *key_slot;
	TupleTableSlot *old_slot;	/* a row that was kept */

	/* the batch */
	MemoryContext cxt;			/* of what is kept: emptied by a TRUNCATE */
	TupleHashTable table;		/* by key: UpsertRow */
	UpsertRow **rows;			/* the same, in the order of their first messages */
	int			nrows;
	int			size;			/* of rows */
	bool		truncate;		/* all rows go before */
	const char *topic;
	const KafkaMessage *message;	/* being stored, if it is one, for the error context */
} KafkaUpsert;

/* subscription_key.c: everything that does not depend on the messages, in the current context. */
extern void kafka_upsert_open(KafkaUpsert *upsert, const KafkaSubscription *subscription);
extern void kafka_upsert_close(KafkaUpsert *upsert);

#endif							/* KAFKA_SUBSCRIPTION_UPSERT_H */
