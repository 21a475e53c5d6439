/*
 * option_name.c
 *		The names of options: which there are, what they belong to, and which one was meant.
 */
#include "postgres.h"

#include "utils/varlena.h"

#include "option_private.h"

/* As PostgreSQL's own hints: a word is near if few of its letters and less than half differ. */
#define MAX_DISTANCE 4

/* Levenshtein distances take time, and names of options and topics are never longer. */
#define MAX_WORD 255

/* The options that are not properties of librdkafka. */
static const struct
{
	const char *name;
	KafkaObject object;
	KafkaOptionId id;
	KafkaPart	part;
}			own_options[] = {
	{"metadata_timeout", KAFKA_OBJECT_SERVER, KAFKA_OPTION_METADATA_TIMEOUT},
	{"commit_timeout", KAFKA_OBJECT_SERVER, KAFKA_OPTION_COMMIT_TIMEOUT},
	{"outbox_on_error", KAFKA_OBJECT_SERVER, KAFKA_OPTION_OUTBOX_ON_ERROR},
	{"keep_connections", KAFKA_OBJECT_SERVER, KAFKA_OPTION_KEEP_CONNECTIONS},
	{"allowed_topics", KAFKA_OBJECT_SERVER, KAFKA_OPTION_ALLOWED_TOPICS},

	{"topic", KAFKA_OBJECT_TABLE, KAFKA_OPTION_TOPIC},
	{"format", KAFKA_OBJECT_TABLE, KAFKA_OPTION_FORMAT},
	{"start_offset", KAFKA_OBJECT_TABLE, KAFKA_OPTION_START_OFFSET},
	{"end_offset", KAFKA_OBJECT_TABLE, KAFKA_OPTION_END_OFFSET},
	{"wait_timeout", KAFKA_OBJECT_TABLE, KAFKA_OPTION_WAIT_TIMEOUT},
	{"max_wait", KAFKA_OBJECT_TABLE, KAFKA_OPTION_MAX_WAIT},
	{"timestamp_ordered", KAFKA_OBJECT_TABLE, KAFKA_OPTION_TIMESTAMP_ORDERED},
	{"max_timestamp_skew", KAFKA_OBJECT_TABLE, KAFKA_OPTION_MAX_TIMESTAMP_SKEW},
	{"encoding", KAFKA_OBJECT_TABLE, KAFKA_OPTION_ENCODING},
	{"invalid_text", KAFKA_OBJECT_TABLE, KAFKA_OPTION_INVALID_TEXT},
	{"updatable", KAFKA_OBJECT_TABLE, KAFKA_OPTION_UPDATABLE},
	{"insert_batch_size", KAFKA_OBJECT_TABLE, KAFKA_OPTION_INSERT_BATCH_SIZE},
	{"use_remote_estimate", KAFKA_OBJECT_TABLE, KAFKA_OPTION_USE_REMOTE_ESTIMATE},
	{"delivery", KAFKA_OBJECT_TABLE, KAFKA_OPTION_DELIVERY},
	{"on_error", KAFKA_OBJECT_TABLE, KAFKA_OPTION_ON_ERROR},
	{"ignore_junk", KAFKA_OBJECT_TABLE, KAFKA_OPTION_IGNORE_JUNK},
	{"strict", KAFKA_OBJECT_TABLE, KAFKA_OPTION_STRICT},
	{"delimiter", KAFKA_OBJECT_TABLE, KAFKA_OPTION_CSV},
	{"quote", KAFKA_OBJECT_TABLE, KAFKA_OPTION_CSV},
	{"escape", KAFKA_OBJECT_TABLE, KAFKA_OPTION_CSV},
	{"null", KAFKA_OBJECT_TABLE, KAFKA_OPTION_CSV},
	{"batch_size", KAFKA_OBJECT_TABLE, KAFKA_OPTION_BATCH_SIZE},
	{"buffer_delay", KAFKA_OBJECT_TABLE, KAFKA_OPTION_BUFFER_DELAY},
	{"num_partitions", KAFKA_OBJECT_TABLE, KAFKA_OPTION_NUM_PARTITIONS},

	{"topic", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_PART, KAFKA_PART_TOPIC},
	{"partition", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_PART, KAFKA_PART_PARTITION},
	{"offset", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_PART, KAFKA_PART_OFFSET},
	{"timestamp", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_PART, KAFKA_PART_TIMESTAMP},
	{"timestamp_type", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_PART, KAFKA_PART_TIMESTAMP_TYPE},
	{"key", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_PART, KAFKA_PART_KEY},
	{"value", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_PART, KAFKA_PART_VALUE},
	{"headers", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_PART, KAFKA_PART_HEADERS},
	{"junk", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_PART, KAFKA_PART_JUNK},
	{"junk_error", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_PART, KAFKA_PART_JUNK_ERROR},
	{"json", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_JSON},
	{"json_key", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_JSON_KEY},
	{"debezium", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_DEBEZIUM},
	{"force_not_null", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_FORCE_NOT_NULL},
	{"force_null", KAFKA_OBJECT_COLUMN, KAFKA_OPTION_FORCE_NULL}
};

/* Another name of ours for one of librdkafka's. */
#define BROKERS "brokers"
#define BROKERS_MEANS "bootstrap.servers"

static const KafkaPropertyInfo *
find_property(const char *name)
{
	const KafkaPropertyInfo *canonical;

	if (strcmp(name, BROKERS) == 0)
		name = BROKERS_MEANS;
	(void) KafkaPropertyFind(name, &canonical);
	return canonical;
}

/* The objects that a property is an option of. */
static int
property_objects(const KafkaPropertyInfo *property)
{
	switch (property->class)
	{
		case KAFKA_CLASS_A:
			return KAFKA_OBJECT_SERVER | (property->topic ? KAFKA_OBJECT_TABLE : 0);
		case KAFKA_CLASS_B:
			return KAFKA_OBJECT_MAPPING;
		case KAFKA_CLASS_C_FILE:
		case KAFKA_CLASS_C_SUPER:
			return KAFKA_OBJECT_SERVER;
		case KAFKA_CLASS_D:
			break;
	}
	return KAFKA_OBJECT_NONE;
}

bool
kafka_option_lookup(const char *name, const char *value, KafkaObject object, KafkaOption *option)
{
	const KafkaPropertyInfo *property;

	memset(option, 0, sizeof(KafkaOption));
	option->name = name;
	option->value = value;
	for (int i = 0; i < lengthof(own_options); i++)
	{
		if (own_options[i].object == object && strcmp(own_options[i].name, name) == 0)
		{
			option->id = own_options[i].id;
			option->part = own_options[i].part;
			return true;
		}
	}

	property = find_property(name);
	if (property == NULL || (property_objects(property) & object) == 0)
		return false;
	option->id = KAFKA_OPTION_PROPERTY;
	option->property = property;
	return true;
}

int
kafka_option_objects(const char *name)
{
	const KafkaPropertyInfo *property = find_property(name);
	int			objects = property ? property_objects(property) : KAFKA_OBJECT_NONE;

	for (int i = 0; i < lengthof(own_options); i++)
	{
		if (strcmp(own_options[i].name, name) == 0)
			objects |= own_options[i].object;
	}
	return objects;
}

List *
kafka_option_names(KafkaObject object, bool dotted)
{
	List	   *names = NIL;
	int			count;
	const KafkaPropertyInfo *table = KafkaPropertyTable(&count);

	for (int i = 0; i < lengthof(own_options); i++)
	{
		if (own_options[i].object == object)
			names = lappend(names, pstrdup(own_options[i].name));
	}
	if (object == KAFKA_OBJECT_SERVER)
		names = lappend(names, pstrdup(BROKERS));

	for (int i = 0; i < count; i++)
	{
		char	   *name;

		if ((property_objects(&table[i]) & object) == 0)
			continue;
		name = pstrdup(table[i].name);
		for (char *c = name; *c != '\0' && !dotted && !table[i].dotted_only; c++)
		{
			if (*c == '.')
				*c = '_';
		}
		names = lappend(names, name);
	}
	return names;
}

const char *
KafkaOptionNearest(const char *word, List *candidates)
{
	const char *nearest = NULL;
	int			len = strlen(word);
	int			limit = Min(MAX_DISTANCE, len / 2);
	ListCell   *lc;

	if (len > MAX_WORD)
		return NULL;
	foreach(lc, candidates)
	{
		const char *candidate = lfirst(lc);
		int			candidate_len = strlen(candidate);
		int			distance;

		if (candidate_len > MAX_WORD || limit < 0)
			continue;
		distance = varstr_levenshtein_less_equal(word, len, candidate, candidate_len, 1, 1, 1,
												 limit, true);
		if (distance <= limit)
		{
			nearest = candidate;
			limit = distance - 1;	/* only a nearer one is better */
		}
	}
	return nearest;
}
