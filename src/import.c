/*
 * import.c
 *		IMPORT FOREIGN SCHEMA: a foreign table for every topic.
 *
 * The table's name is the topic's. A topic's name may have 249 characters and an identifier 63: a
 * longer one is cut, as PostgreSQL cuts any identifier, so that LIMIT TO and EXCEPT find it; where
 * names that are cut would meet, each ends in a hash of the whole name instead. A table always
 * states its topic, so that renaming the table does not change what it reads.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

#include "compat.h"
#include "consumer.h"
#include "import.h"
#include "option.h"
#include "setting.h"

#define TOPIC_NAME_MAX 249
#define HASH_DIGITS 8

typedef struct ImportOptions
{
	char	   *key_type;
	char	   *value_type;
	bool		headers;		/* tables have a column for the headers */
	bool		internal;		/* also topics that Kafka keeps for itself */
} ImportOptions;

/* A name that tables want, and by how many. */
typedef struct WantedName
{
	NameData	name;			/* the hash key */
	int			ntopics;
} WantedName;

/*
 * A type's name, checked and written so that it means the same type on any search_path.
 */
static char *
import_type(DefElem *option)
{
	Oid			type;
	int32		typmod;

	kafka_parse_type(defGetString(option), &type, &typmod);
	return format_type_extended(type, typmod,
								FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

static ImportOptions
import_options(List *list)
{
	ImportOptions options = {"pg_catalog.text", "pg_catalog.text", true, false};
	ListCell   *lc;

	foreach(lc, list)
	{
		DefElem    *option = lfirst_node(DefElem, lc);

		if (strcmp(option->defname, "key_type") == 0)
			options.key_type = import_type(option);
		else if (strcmp(option->defname, "value_type") == 0)
			options.value_type = import_type(option);
		else if (strcmp(option->defname, "headers") == 0)
			options.headers = defGetBoolean(option);
		else if (strcmp(option->defname, "internal") == 0)
			options.internal = defGetBoolean(option);
		else
		{
			List	   *names = list_make4("key_type", "value_type", "headers", "internal");
			const char *nearest = KafkaOptionNearest(option->defname, names);

			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("invalid option \"%s\"", option->defname),
					 nearest ? errhint("Perhaps you meant the option \"%s\".", nearest) :
					 errhint("The options of IMPORT FOREIGN SCHEMA are key_type, value_type, "
							 "headers and internal.")));
		}
	}
	return options;
}

/* What a broker says is not to be trusted to be a topic's name. */
static bool
is_topic_name(const char *name)
{
	Size		len = strlen(name);

	return len > 0 && len <= TOPIC_NAME_MAX &&
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

/* How many of the topics want each name of at most 63 characters for their table. */
static HTAB *
count_names(List *topics)
{
	HASHCTL		ctl;
	HTAB	   *names;
	ListCell   *lc;

	ctl.keysize = sizeof(NameData);
	ctl.entrysize = sizeof(WantedName);
	ctl.hcxt = CurrentMemoryContext;
	names = hash_create("kafka_fdw import", list_length(topics), &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	foreach(lc, topics)
	{
		NameData	name;
		WantedName *wanted;
		bool		found;

		namestrcpy(&name, lfirst(lc));
		wanted = hash_search(names, &name, HASH_ENTER, &found);
		wanted->ntopics = found ? wanted->ntopics + 1 : 1;
	}
	return names;
}

/*
 * The name of a topic's table. Of topics that meet in a name, one that has it whole keeps it, so
 * that the others' names do not depend on which is found first.
 */
static char *
table_name(HTAB *names, const char *topic)
{
	NameData	name;
	WantedName *wanted;
	uint32		hash;

	if (strlen(topic) < NAMEDATALEN)
		return pstrdup(topic);
	namestrcpy(&name, topic);
	wanted = hash_search(names, &name, HASH_FIND, NULL);
	if (wanted->ntopics == 1)
		return pstrdup(NameStr(name));
	hash = hash_bytes((const unsigned char *) topic, (int) strlen(topic));
	return psprintf("%.*s_%08x", NAMEDATALEN - 1 - 1 - HASH_DIGITS, topic, hash);
}

/* The statement that creates a topic's table. */
static char *
create_statement(const char *table, const char *topic, const char *server,
				 const ImportOptions *options)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "CREATE FOREIGN TABLE %s (\n"
					 "  partition pg_catalog.int4,\n"
					 "  \"offset\" pg_catalog.int8,\n"
					 "  \"timestamp\" pg_catalog.timestamptz,\n"
					 "  key %s,\n"
					 "  value %s%s\n"
					 ") SERVER %s OPTIONS (topic %s)",
					 quote_identifier(table), options->key_type, options->value_type,
					 options->headers ? ",\n  headers pg_catalog.jsonb" : "",
					 quote_identifier(server), quote_literal_cstr(topic));
	return sql.data;
}

List *
kafkaImportForeignSchema(ImportForeignSchemaStmt *stmt, Oid serverOid)
{
	ImportOptions options = import_options(stmt->options);
	KafkaServer *server;
	List	   *topics = NIL;
	List	   *commands = NIL;
	HTAB	   *names;
	ListCell   *lc;

	KafkaSettingCheckRead();
	server = KafkaOptionGetServer(serverOid, GetUserId());
	foreach(lc, KafkaConsumerTopics(server, options.internal, NULL))
	{
		char	   *topic = lfirst(lc);

		if (is_topic_name(topic) && KafkaOptionTopicAllowed(server, topic))
			topics = lappend(topics, topic);
	}

	names = count_names(topics);
	foreach(lc, topics)
	{
		char	   *topic = lfirst(lc);
		char	   *table = table_name(names, topic);

		if (IsImportableForeignTable(table, stmt))
			commands = lappend(commands,
							   create_statement(table, topic, server->name, &options));
	}
	return commands;
}
