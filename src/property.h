/*
 * property.h
 *		librdkafka's properties: their names, who may set them, what their values are.
 */
#ifndef KAFKA_PROPERTY_H
#define KAFKA_PROPERTY_H

/* Who may set a property from SQL (docs/security.md). */
typedef enum KafkaPropertyClass
{
	KAFKA_CLASS_A,				/* the server's owner */
	KAFKA_CLASS_B,				/* a credential: user mappings only */
	KAFKA_CLASS_C_FILE,			/* server option that opens a file: pg_read_server_files */
	KAFKA_CLASS_C_SUPER,		/* server option that needs a superuser */
	KAFKA_CLASS_D				/* never from SQL */
} KafkaPropertyClass;

/* How a value is written in SQL; librdkafka always gets a plain number, or true or false. */
typedef enum KafkaPropertyKind
{
	KAFKA_KIND_TEXT,			/* as it is */
	KAFKA_KIND_WORD,			/* one of a few words, which librdkafka knows */
	KAFKA_KIND_BOOL,
	KAFKA_KIND_INT,
	KAFKA_KIND_TIME,			/* milliseconds, or with a unit of PostgreSQL's */
	KAFKA_KIND_TIMEOUT,			/* the same; not longer than kafka_fdw.max_timeout */
	KAFKA_KIND_LINGER,			/* the same with a fraction */
	KAFKA_KIND_BYTES,			/* bytes, or with a unit; not above kafka_fdw.max_buffer_size */
	KAFKA_KIND_KBYTES			/* the same counted in kilobytes */
} KafkaPropertyKind;

typedef struct KafkaPropertyInfo
{
	const char *name;			/* canonical: dotted, aliases resolved */
	const char *alias_of;		/* the property this is another name of, or NULL */
	KafkaPropertyClass class;
	KafkaPropertyKind kind;		/* class D: of no meaning */
	const char *values;			/* class D: the value that kafka_fdw itself gives it; otherwise
								 * the words of librdkafka 2.0.2, for a hint; or NULL */
	bool		topic;			/* concerns one topic: a table option too */
	bool		dotted_only;	/* the spelling with underscores means something else */
} KafkaPropertyInfo;

/*
 * Look a name up, spelt with dots or underscores; exact names only. NULL where the table does not
 * have it: such a name must never reach librdkafka, where merely setting it may run code.
 * "*canonical" is the entry that an alias stands for, otherwise the entry itself; it may be NULL.
 */
extern const KafkaPropertyInfo *KafkaPropertyFind(const char *name,
												  const KafkaPropertyInfo **canonical);

/* All entries, in the order of the table, for hints and for lists in its order. */
extern const KafkaPropertyInfo *KafkaPropertyTable(int *count);

#endif							/* KAFKA_PROPERTY_H */
