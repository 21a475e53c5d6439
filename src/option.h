/*
 * option.h
 *		The options of servers, user mappings, foreign tables and columns, resolved.
 *
 * Nothing here touches the network. What a function returns is allocated in the current memory
 * context.
 */
#ifndef KAFKA_OPTION_H
#define KAFKA_OPTION_H

#include "foreign/foreign.h"
#include "nodes/pg_list.h"

#include "offset.h"

#define KAFKA_WAIT_FOREVER (-1)
#define KAFKA_WAIT_UNLIMITED (-2)	/* max_wait: no bound */

typedef struct KafkaProperty
{
	char	   *name;			/* canonical name of a librdkafka property */
	char	   *value;			/* may be a secret: never printed */
} KafkaProperty;

/*
 * A server as one role reaches it: with the options of its user mapping, and, where a table's are
 * asked for, with the properties that the table sets for its topic.
 */
typedef struct KafkaServer
{
	Oid			serverid;
	Oid			userid;			/* whose user mapping it is */
	Oid			umid;			/* pg_user_mapping.oid; InvalidOid where there is none */
	char	   *name;
	List	   *properties;		/* of KafkaProperty *, in the order of the property table, without
								 * the three that message_timeout, auto_create_topics and
								 * read_committed stand for */
	int			metadata_timeout;	/* ms: metadata, offsets, administration, a stalled read */
	int			message_timeout;	/* ms until an unacknowledged message has failed */
	int			commit_timeout; /* ms, the same for one that is sent as a transaction commits */
	bool		keep_connections;	/* keep handles for the session's next statement */
	bool		auto_create_topics; /* sends may create topics */
	bool		read_committed; /* isolation.level */
	bool		outbox_stops;	/* the relay stops at a message that Kafka refuses */
	char	   *transactional_id;	/* of a relay's producer; NULL: sends outside transactions */
	List	   *allowed_topics; /* of char *, patterns with * and ?; NIL: all */
} KafkaServer;

/* What to do with bytes that are not text in the table's encoding. */
typedef enum KafkaInvalidText
{
	KAFKA_INVALID_ERROR,
	KAFKA_INVALID_ESCAPE,
	KAFKA_INVALID_NULL
} KafkaInvalidText;

/* When a row that is inserted is sent. */
typedef enum KafkaDeliveryMode
{
	KAFKA_DELIVERY_IMMEDIATE,	/* by the statement */
	KAFKA_DELIVERY_COMMIT,		/* just before the transaction commits */
	KAFKA_DELIVERY_OUTBOX		/* by a relay, once it has committed */
} KafkaDeliveryMode;

/* How a value is read and written. */
typedef enum KafkaTableFormat
{
	KAFKA_FORMAT_RAW,			/* one column */
	KAFKA_FORMAT_JSON,			/* a column for a member */
	KAFKA_FORMAT_CSV,			/* a column for a field */
	KAFKA_FORMAT_DEBEZIUM		/* a column for a member of the row in a change event */
} KafkaTableFormat;

/* What to do with a message that cannot be decoded. */
typedef enum KafkaOnError
{
	KAFKA_ON_ERROR_STOP,		/* raise an error */
	KAFKA_ON_ERROR_SET_NULL,	/* the bad columns are NULL */
	KAFKA_ON_ERROR_SKIP			/* the row is left out, and counted */
} KafkaOnError;

/* A foreign table: its topic, and how it is read and written. */
typedef struct KafkaTable
{
	Oid			relid;
	KafkaServer *server;
	char	   *topic;
	KafkaOffsetSpec *start;
	KafkaOffsetSpec *end;
	bool		end_given;		/* end_offset was set: a tail ends there too */
	int64		wait_timeout;	/* ms to wait for the next message; 0: no tail; KAFKA_WAIT_FOREVER */
	int64		max_wait;		/* ms past the snapshot's end; KAFKA_WAIT_UNLIMITED */
	bool		read_committed;
	bool		timestamp_ordered;	/* upper bounds on timestamp may be pushed */
	int64		max_timestamp_skew; /* ms of slack for that; -1: not set */
	int			encoding;		/* of text in messages */
	KafkaInvalidText invalid_text;
	KafkaTableFormat format;
	KafkaOnError on_error;
	bool		strict;			/* a missing field is bad data */
	bool		strict_extra;	/* so is one too many: strict, or junk columns are to show it */
	char		delimiter;		/* csv, as COPY's options of these names ... */
	char		quote;
	char		escape;
	char	   *null;			/* ... in the database's encoding */
	bool		updatable;
	int			insert_batch_size;
	bool		use_remote_estimate;
	KafkaDeliveryMode delivery;
	int			num_partitions; /* as the planner may assume where it knows nothing; 0: not set */
} KafkaTable;

/* Which part of a message a column shows. */
typedef enum KafkaPart
{
	KAFKA_PART_NONE,
	KAFKA_PART_TOPIC,
	KAFKA_PART_PARTITION,
	KAFKA_PART_OFFSET,
	KAFKA_PART_TIMESTAMP,
	KAFKA_PART_TIMESTAMP_TYPE,
	KAFKA_PART_KEY,
	KAFKA_PART_VALUE,
	KAFKA_PART_HEADERS,
	KAFKA_PART_FIELD,			/* of the value, or of the key: formats other than raw */
	KAFKA_PART_JUNK,			/* the value of a message that could not be decoded ... */
	KAFKA_PART_JUNK_ERROR		/* ... and why */
} KafkaPart;

/* A column of a foreign table: what it shows, and where in that it is found. */
typedef struct KafkaColumn
{
	KafkaPart	part;
	char	   *path;			/* json, debezium: the option json, json_key or debezium; NULL:
								 * the column's name */
	bool		in_key;			/* json_key */
	bool		in_envelope;	/* debezium */
	bool		force_not_null; /* csv: as COPY's options of these names */
	bool		force_null;
} KafkaColumn;

/*
 * The server's options and those of the role's user mapping, public's where it has none of its
 * own. Does not check rights.
 */
extern KafkaServer *KafkaOptionGetServer(Oid serverid, Oid userid);

/* Whose user mapping that is: the role, or InvalidOid for public's, and where there is none. */
extern Oid	KafkaOptionMappingRole(Oid serverid, Oid userid);

/* The same for a foreign table, with the properties it sets for its topic. */
extern KafkaTable *KafkaOptionGetTable(Oid relid, Oid userid);

/* A copy that does not depend on where the original lives. */
extern KafkaServer *KafkaOptionCopyServer(const KafkaServer *server);

/* True where a producer made for the one serves the other. */
extern bool KafkaOptionSameServer(const KafkaServer *a, const KafkaServer *b);

/*
 * The server that a function is to use: the one named, or, where name is NULL, the setting
 * kafka_fdw.default_server, or else the only kafka_fdw server on which the role has USAGE. Checks
 * USAGE and that the server is one of ours. Errors: 42704 no such server, 42501 no USAGE, 42809
 * another wrapper's, HV00N with the candidates where the choice is open.
 */
extern Oid	KafkaOptionChooseServer(const char *name, Oid userid);

/*
 * The same for what is not to depend on the session: the server named, or the only one. For
 * triggers, whose role is the table's owner.
 */
extern Oid	KafkaOptionOnlyServer(const char *name, Oid userid);

/* True for a relation that is a foreign table of kafka_fdw, by whatever name the wrapper goes. */
extern bool KafkaOptionIsTable(Oid relid);

/*
 * ERROR where a topic's name is not one Kafka accepts (42602), or allowed_topics leaves it out
 * (42501).
 */
extern void KafkaOptionCheckTopic(const KafkaServer *server, const char *topic);

/* True where allowed_topics has nothing against it. */
extern bool KafkaOptionTopicAllowed(const KafkaServer *server, const char *topic);

/* The format of a foreign table; the rest of its options is not looked at. */
extern KafkaTableFormat KafkaOptionTableFormat(Oid relid);

/*
 * What a column of a table of this format shows, by its column options, by its name in format raw,
 * and otherwise a field; NONE for a dropped column. A column that is no part is an error in format
 * raw (HV007), and so are a column of a type that its part cannot have (HV004) and an option of
 * another format (HV024), which the validator does not see. Several columns may show one part.
 */
extern void KafkaOptionGetColumn(Oid relid, AttrNumber attnum, KafkaTableFormat format,
								 KafkaColumn *column);

/* False where no column of a table shows a message's headers, as its names and options are now. */
extern bool KafkaOptionMayShowHeaders(Oid relid);

/*
 * "Perhaps you meant ...": the candidate (of a List of char *) nearest to a misspelt word, or NULL
 * where none is near.
 */
extern const char *KafkaOptionNearest(const char *word, List *candidates);

#endif							/* KAFKA_OPTION_H */
