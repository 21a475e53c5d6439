/*
 * publish_private.h
 *		What the files of the row-change trigger share with nobody else.
 */
#ifndef KAFKA_PUBLISH_PRIVATE_H
#define KAFKA_PUBLISH_PRIVATE_H

#include "access/attnum.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

#include "json_datum.h"
#include "message.h"
#include "option.h"
#include "producer.h"

#define PUBLISH_FUNCTION "kafka_publish"

/* What a message says of a change. */
typedef enum PublishFormat
{
	PUBLISH_DEBEZIUM,			/* all of it: the row before and after, and where it comes from */
	PUBLISH_ROW,				/* the row as it is now */
	PUBLISH_KEY					/* that there was one */
} PublishFormat;

/* The operations, as Debezium calls them. */
typedef enum PublishOp
{
	PUBLISH_CREATE = 'c',
	PUBLISH_UPDATE = 'u',
	PUBLISH_DELETE = 'd',
	PUBLISH_READ = 'r',			/* a row that a snapshot found */
	PUBLISH_TRUNCATE = 't'
} PublishOp;

/* A trigger's arguments. */
typedef struct PublishArguments
{
	const char *topic;
	const char *server;			/* NULL: the only one */
	PublishFormat format;
	KafkaDeliveryMode delivery;
	List	   *key;			/* of char *; NIL: the primary key, or the replica identity */
	List	   *columns;		/* of char *; NIL: all */
	bool		tombstone;		/* after a delete */
	bool		numeric_number; /* numeric is written as a number, not as a string */
	bool		key_text;		/* the key is its column's text, not JSON */
	int32		partition;		/* KAFKA_ANY_PARTITION: the partitioner chooses */
	const char *partition_column;	/* NULL: there is none */
	const char *headers;		/* JSON; NULL: none */
	const char *headers_column; /* NULL: there is none */
} PublishArguments;

/* A column that is published, or is part of the key. */
typedef struct PublishColumn
{
	int			attr;			/* its index in a row */
	Oid			type;			/* a domain's base type */
	bool		byval;
	int16		len;
	const char *prefix;			/* its name as a member of JSON, and the colon */
	int			prefixlen;
	KafkaJsonWriter *writer;
} PublishColumn;

/* What a trigger publishes, found out once for a session. */
typedef struct KafkaPublication
{
	Oid			triggerid;		/* first: the key of a hash table */
	bool		valid;
	Oid			relid;
	Oid			published;		/* whose trigger it is: the same, or a partitioned table above it */
	MemoryContext context;		/* all that follows is in it */
	PublishArguments arguments;
	char	   *relname;		/* of the published table */
	KafkaServer *server;		/* as its owner reaches it */
	PublishColumn *columns;
	int			ncolumns;
	PublishColumn *key;
	int			nkey;
	int			natts;			/* of the row that have to be known */
	KafkaHeader *headers;		/* constant ones */
	int			nheaders;
	int			headers_attr;	/* the index of a column that gives them, or -1 */
	Oid			headers_type;
	int			partition_attr; /* the same for the partition */
	Oid			partition_type;
	StringInfoData source;		/* "source" up to its first time ... */
	StringInfoData origin;		/* ... and the names in it */
} KafkaPublication;

/* A row of a table. */
typedef struct PublishRow
{
	const Datum *values;
	const bool *nulls;
} PublishRow;

/* publish_argument.c */

/* Read a trigger's arguments; errors are 22023, with a hint for what is misspelt. */
extern void kafka_publish_read_arguments(int nargs, char *const *args, PublishArguments *arguments);

/* The words of "format" and "delivery", which kafka_publish_table() takes too. */
extern PublishFormat kafka_publish_format(const char *word);
extern KafkaDeliveryMode kafka_publish_delivery(const char *word);

/*
 * Find the columns that the arguments name, or stand for, and the server. "published" is the table
 * whose trigger it is. Errors: 42703 for a column that is not there, 42P16 without a key.
 */
extern void kafka_publish_resolve(KafkaPublication *publication, Relation rel, Oid published);

/* publish_value.c */

/* Have a column ready to be written. */
extern void kafka_publish_open_column(PublishColumn *column, TupleDesc desc, AttrNumber attnum,
									  const PublishArguments *arguments);

/* Make the parts of an event that are the same for all. */
extern void kafka_publish_open_source(KafkaPublication *publication);

/* The value of an event; a row may be NULL. In the current context, as is the rest. */
extern void kafka_publish_value(KafkaPublication *publication, PublishOp op, const PublishRow *before,
								const PublishRow *after, KafkaOutgoing *message);

/* A row's key. */
extern void kafka_publish_key(KafkaPublication *publication, const PublishRow *row,
							  KafkaOutgoing *message);

/* True where two rows have the same key. */
extern bool kafka_publish_same_key(KafkaPublication *publication, const PublishRow *before,
								   const PublishRow *after);

/* publish.c */

/* The messages of a change, which are appended to the array; at most this many. */
#define PUBLISH_MAX_MESSAGES 3

extern int	kafka_publish_messages(KafkaPublication *publication, PublishOp op,
								   const PublishRow *before, const PublishRow *after,
								   KafkaOutgoing *messages);

/* The columns of a row that are needed; it lives in the slot. */
extern PublishRow kafka_publish_row(const KafkaPublication *publication, TupleTableSlot *slot);

/*
 * Send, hold or store messages. With delivery immediate they are added to a batch, or are awaited
 * where it is NULL.
 */
extern void kafka_publish_deliver(const KafkaPublication *publication, KafkaBatch *batch,
								  const KafkaOutgoing *messages, int nmessages);

#endif							/* KAFKA_PUBLISH_PRIVATE_H */
