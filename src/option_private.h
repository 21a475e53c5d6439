/*
 * option_private.h
 *		What the files of options share with nobody else: an option of a catalogue as it goes from
 *		its name (option_name.c) over its value (option_value.c) into the struct that the rest of the
 *		extension uses (option.c).
 */
#ifndef KAFKA_OPTION_PRIVATE_H
#define KAFKA_OPTION_PRIVATE_H

#include "compat.h"
#include "option.h"
#include "property.h"

/* What an option can be an option of; a set of bits. */
typedef enum KafkaObject
{
	KAFKA_OBJECT_SERVER = 1,
	KAFKA_OBJECT_MAPPING = 2,
	KAFKA_OBJECT_TABLE = 4,
	KAFKA_OBJECT_COLUMN = 8
} KafkaObject;

#define KAFKA_OBJECT_NONE 0

typedef enum KafkaOptionId
{
	KAFKA_OPTION_PROPERTY,		/* of librdkafka */
	KAFKA_OPTION_METADATA_TIMEOUT,
	KAFKA_OPTION_COMMIT_TIMEOUT,
	KAFKA_OPTION_OUTBOX_ON_ERROR,
	KAFKA_OPTION_KEEP_CONNECTIONS,
	KAFKA_OPTION_ALLOWED_TOPICS,
	KAFKA_OPTION_TOPIC,
	KAFKA_OPTION_FORMAT,
	KAFKA_OPTION_START_OFFSET,
	KAFKA_OPTION_END_OFFSET,
	KAFKA_OPTION_WAIT_TIMEOUT,
	KAFKA_OPTION_MAX_WAIT,
	KAFKA_OPTION_TIMESTAMP_ORDERED,
	KAFKA_OPTION_MAX_TIMESTAMP_SKEW,
	KAFKA_OPTION_ENCODING,
	KAFKA_OPTION_INVALID_TEXT,
	KAFKA_OPTION_UPDATABLE,
	KAFKA_OPTION_INSERT_BATCH_SIZE,
	KAFKA_OPTION_USE_REMOTE_ESTIMATE,
	KAFKA_OPTION_DELIVERY,
	KAFKA_OPTION_ON_ERROR,
	KAFKA_OPTION_IGNORE_JUNK,
	KAFKA_OPTION_STRICT,
	KAFKA_OPTION_CSV,			/* an option of COPY's, which it checks itself */
	KAFKA_OPTION_BATCH_SIZE,
	KAFKA_OPTION_BUFFER_DELAY,
	KAFKA_OPTION_NUM_PARTITIONS,

	/* of columns */
	KAFKA_OPTION_PART,			/* of a message */
	KAFKA_OPTION_JSON,
	KAFKA_OPTION_JSON_KEY,
	KAFKA_OPTION_DEBEZIUM,
	KAFKA_OPTION_FORCE_NOT_NULL,
	KAFKA_OPTION_FORCE_NULL
} KafkaOptionId;

/* An option as it is given, looked up. */
typedef struct KafkaOption
{
	const char *name;			/* as it was spelt */
	const char *value;			/* a secret where the property's class is B */
	KafkaOptionId id;
	const KafkaPropertyInfo *property;	/* KAFKA_OPTION_PROPERTY: the canonical one */
	KafkaPart	part;			/* KAFKA_OPTION_PART */
	bool		creating;		/* CREATE or ALTER: what exceeds a cap is an error, not cut */
} KafkaOption;

/* option_name.c */

/*
 * Look an option up; false where an object of this kind has none of the name (of which class D is a
 * case).
 */
extern bool kafka_option_lookup(const char *name, const char *value, KafkaObject object,
								KafkaOption *option);

/* The objects that have an option of this name, KAFKA_OBJECT_NONE where none has. */
extern int	kafka_option_objects(const char *name);

/*
 * The valid names for an object, as a List of char *; librdkafka's spelt with dots or with
 * underscores.
 */
extern List *kafka_option_names(KafkaObject object, bool dotted);

/* option_value.c: each raises HV024 for a value that the option cannot have. */

extern bool kafka_value_bool(const KafkaOption *option);
extern int	kafka_value_int(const KafkaOption *option, int min, int max);

/* Milliseconds, min to max. */
extern int	kafka_value_time(const KafkaOption *option, int min, int max);

/* Milliseconds, from min to what kafka_fdw.max_timeout allows. */
extern int	kafka_value_timeout(const KafkaOption *option, int min);

/* The place of a value in a list of words that ends with NULL. */
extern int	kafka_value_word(const KafkaOption *option, const char *const *words);

/* The patterns of allowed_topics, as a List of char *. */
extern List *kafka_value_patterns(const KafkaOption *option);

/* The value that librdkafka is to get: plain numbers, true or false, text in UTF-8. */
extern char *kafka_value_property(const KafkaOption *option);

/* Raise HV024. The value is not repeated where it is a secret; detail and hint may be NULL. */
pg_noreturn extern void kafka_value_error(const KafkaOption *option, const char *detail,
										  const char *hint);

/* NULL where Kafka accepts a topic's name, or the reason why not, as a sentence. */
extern const char *kafka_topic_name_problem(const char *topic);

/* option.c */

/* Room for a value of each property in the table. */
extern char **kafka_option_make_values(void);

/*
 * Put an option where it belongs: into the struct, or, where it is a property that librdkafka is to
 * get, into values, at the property's place in the table.
 */
extern void kafka_option_apply_server(KafkaServer *server, const KafkaOption *option,
									  char **values);
extern void kafka_option_apply_table(KafkaTable *table, const KafkaOption *option, char **values);

/* option_format.c */

/*
 * The options of a table that only make sense together, given as the catalogue has them, after each
 * of them was put into the struct: an error where they do not go together, and csv's characters.
 */
extern void kafka_option_check_format(KafkaTable *table, List *options);

/* option_column.c */

/*
 * Put a column's option into the struct; an error where another one excludes it. "previous" is the
 * option that gave the column its meaning so far, or NULL.
 */
extern void kafka_option_apply_column(KafkaColumn *column, const KafkaOption *option,
									  const char **previous);

/* True where a table has a column for junk or its error. */
extern bool kafka_option_has_junk(Oid relid);

/* What an object has where nothing is said. */
extern void kafka_option_server_defaults(KafkaServer *server);
extern void kafka_option_table_defaults(KafkaTable *table);

#endif							/* KAFKA_OPTION_PRIVATE_H */
