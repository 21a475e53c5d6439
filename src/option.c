/*
 * option.c
 *		The options of servers, user mappings and foreign tables, resolved.
 *
 * A server is read with the user mapping of the role that reaches it, and with the properties that
 * a table sets for its topic: later ones override earlier ones. Each object contributes only what
 * an object of its kind may have, whatever the catalogue says: a foreign-data wrapper without a
 * validator, or another version of this extension, could have put anything there.
 */
#include "postgres.h"

#include <limits.h>

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "mb/pg_wchar.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "option_private.h"
#include "setting.h"

#define DEFAULT_METADATA_TIMEOUT 10000
#define DEFAULT_MESSAGE_TIMEOUT 30000
#define DEFAULT_COMMIT_TIMEOUT 5000
#define DEFAULT_TAIL_WAIT 10000 /* start_offset newest */
#define DEFAULT_BATCH_SIZE 100
#define MAX_BATCH_SIZE 100000	/* PostgreSQL makes room for so many rows at once */

char	  **
kafka_option_make_values(void)
{
	int			count;

	(void) KafkaPropertyTable(&count);
	return palloc0(count * sizeof(char *));
}

void
kafka_option_server_defaults(KafkaServer *server)
{
	server->metadata_timeout = Min(DEFAULT_METADATA_TIMEOUT, kafka_max_timeout);
	server->message_timeout = Min(DEFAULT_MESSAGE_TIMEOUT, kafka_max_timeout);
	server->commit_timeout = Min(DEFAULT_COMMIT_TIMEOUT, kafka_max_timeout);
	server->keep_connections = true;
	server->read_committed = true;
}

void
kafka_option_table_defaults(KafkaTable *table)
{
	table->start = KafkaOffsetParse("earliest", KAFKA_START_OFFSET);
	table->end = KafkaOffsetParse("snapshot", KAFKA_END_OFFSET);
	table->max_wait = KAFKA_WAIT_UNLIMITED;
	table->max_timestamp_skew = -1;
	table->encoding = PG_UTF8;
	table->invalid_text = KAFKA_INVALID_ERROR;
	table->updatable = true;
	table->insert_batch_size = DEFAULT_BATCH_SIZE;
}

/* Properties that are a matter of ours too are kept in the struct, and connection_conf.c sets them. */
static void
apply_property(KafkaServer *server, const KafkaOption *option, char **values)
{
	static const char *const isolation_levels[] = {"read_committed", "read_uncommitted", NULL};
	const char *name = option->property->name;
	int			count;

	if (strcmp(name, "isolation.level") == 0)
		server->read_committed = kafka_value_word(option, isolation_levels) == 0;
	else if (strcmp(name, "message.timeout.ms") == 0)
	{
		server->message_timeout = kafka_value_timeout(option, INT_MIN);
		if (server->message_timeout <= 0)
			kafka_value_error(option, "A message has to have a time after which it has failed: "
							  "the session that sends it waits for that long.", NULL);
	}
	else if (strcmp(name, "allow.auto.create.topics") == 0)
		server->auto_create_topics = kafka_value_bool(option);
	else
		values[option->property - KafkaPropertyTable(&count)] = kafka_value_property(option);
}

void
kafka_option_apply_server(KafkaServer *server, const KafkaOption *option, char **values)
{
	static const char *const outbox_on_errors[] = {"dead_letter", "stop", NULL};

	switch (option->id)
	{
		case KAFKA_OPTION_PROPERTY:
			apply_property(server, option, values);
			break;
		case KAFKA_OPTION_METADATA_TIMEOUT:
			server->metadata_timeout = kafka_value_timeout(option, 1);
			break;
		case KAFKA_OPTION_COMMIT_TIMEOUT:
			server->commit_timeout = kafka_value_timeout(option, 1);
			break;
		case KAFKA_OPTION_OUTBOX_ON_ERROR:
			server->outbox_stops = kafka_value_word(option, outbox_on_errors) == 1;
			break;
		case KAFKA_OPTION_KEEP_CONNECTIONS:
			server->keep_connections = kafka_value_bool(option);
			break;
		case KAFKA_OPTION_ALLOWED_TOPICS:
			server->allowed_topics = kafka_value_patterns(option);
			break;
		default:
			elog(ERROR, "unexpected option \"%s\" of a server", option->name);
	}
}

/* -1 stands for no limit, which the struct has a value of its own for. */
static int64
wait_value(const KafkaOption *option, int64 unlimited)
{
	int			ms = kafka_value_time(option, -1, INT_MAX);

	return ms < 0 ? unlimited : ms;
}

void
kafka_option_apply_table(KafkaTable *table, const KafkaOption *option, char **values)
{
	static const char *const formats[] = {"raw", "json", "csv", "debezium", NULL};
	static const char *const deliveries[] = {"immediate", "commit", "outbox", NULL};
	static const char *const invalid_texts[] = {"error", "escape", "null", NULL};
	static const char *const on_errors[] = {"stop", "set_null", "skip", NULL};
	const char *problem;

	switch (option->id)
	{
		case KAFKA_OPTION_PROPERTY:
			apply_property(table->server, option, values);
			break;
		case KAFKA_OPTION_TOPIC:
			problem = kafka_topic_name_problem(option->value);
			if (problem != NULL)
				kafka_value_error(option, problem, NULL);
			table->topic = pstrdup(option->value);
			break;
		case KAFKA_OPTION_FORMAT:
			table->format = kafka_value_word(option, formats);
			break;
		case KAFKA_OPTION_START_OFFSET:
			table->start = KafkaOffsetParse(option->value, KAFKA_START_OFFSET);
			break;
		case KAFKA_OPTION_END_OFFSET:
			table->end = KafkaOffsetParse(option->value, KAFKA_END_OFFSET);
			table->end_given = true;
			break;
		case KAFKA_OPTION_WAIT_TIMEOUT:
			table->wait_timeout = wait_value(option, KAFKA_WAIT_FOREVER);
			break;
		case KAFKA_OPTION_MAX_WAIT:
			table->max_wait = wait_value(option, KAFKA_WAIT_UNLIMITED);
			break;
		case KAFKA_OPTION_TIMESTAMP_ORDERED:
			table->timestamp_ordered = kafka_value_bool(option);
			break;
		case KAFKA_OPTION_MAX_TIMESTAMP_SKEW:
			table->max_timestamp_skew = kafka_value_time(option, 0, INT_MAX);
			break;
		case KAFKA_OPTION_ENCODING:
			table->encoding = pg_char_to_encoding(option->value);
			if (table->encoding < 0)
				kafka_value_error(option, NULL, "The name of a character set is expected, such as "
								  "UTF8 or LATIN1.");
			break;
		case KAFKA_OPTION_INVALID_TEXT:
			table->invalid_text = kafka_value_word(option, invalid_texts);
			break;
		case KAFKA_OPTION_UPDATABLE:
			table->updatable = kafka_value_bool(option);
			break;
		case KAFKA_OPTION_INSERT_BATCH_SIZE:
			table->insert_batch_size = kafka_value_int(option, 1, MAX_BATCH_SIZE);
			break;
		case KAFKA_OPTION_USE_REMOTE_ESTIMATE:
			table->use_remote_estimate = kafka_value_bool(option);
			break;
		case KAFKA_OPTION_DELIVERY:
			table->delivery = kafka_value_word(option, deliveries);
			break;
		case KAFKA_OPTION_ON_ERROR:
			table->on_error = kafka_value_word(option, on_errors);
			break;
		case KAFKA_OPTION_IGNORE_JUNK:
			table->on_error = kafka_value_bool(option) ? KAFKA_ON_ERROR_SET_NULL
				: KAFKA_ON_ERROR_STOP;
			break;
		case KAFKA_OPTION_STRICT:
			table->strict = kafka_value_bool(option);
			break;
		case KAFKA_OPTION_CSV:
			break;				/* kafka_option_check_format's */
		case KAFKA_OPTION_BATCH_SIZE:
			(void) kafka_value_int(option, 1, INT_MAX); /* a scan finds its own sizes ... */
			break;
		case KAFKA_OPTION_BUFFER_DELAY:
			(void) kafka_value_time(option, 1, INT_MAX);	/* ... and is whole however it waits */
			break;
		case KAFKA_OPTION_NUM_PARTITIONS:
			table->num_partitions = kafka_value_int(option, 1, INT_MAX);
			break;
		default:
			elog(ERROR, "unexpected option \"%s\" of a foreign table", option->name);
	}
}

/* An option of a catalogue; an error where its object cannot have it. */
static void
look_up(DefElem *def, KafkaObject object, const char *kind, const char *name, KafkaOption *option)
{
	if (!kafka_option_lookup(def->defname, defGetString(def), object, option))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"%s\" of %s \"%s\" is not allowed", def->defname, kind, name),
				 errhint("Drop the option: this version of kafka_fdw does not have it there.")));
}

Oid
KafkaOptionMappingRole(Oid serverid, Oid userid)
{
	return SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(userid),
								 ObjectIdGetDatum(serverid)) ? userid : InvalidOid;
}

/* The user mapping's options, and its OID; public's where the role has none of its own. */
static List *
mapping_options(Oid serverid, Oid userid, Oid *umid)
{
	List	   *options = NIL;
	HeapTuple	tuple;
	Datum		datum;
	bool		isnull;

	*umid = InvalidOid;
	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(userid),
							ObjectIdGetDatum(serverid));
	if (!HeapTupleIsValid(tuple))
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
								ObjectIdGetDatum(serverid));
	if (!HeapTupleIsValid(tuple))
		return NIL;

	*umid = ((Form_pg_user_mapping) GETSTRUCT(tuple))->oid;
	datum = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions,
							&isnull);
	if (!isnull)
		options = untransformRelOptions(datum);
	ReleaseSysCache(tuple);
	return options;
}

/* Server and user mapping; the values are not yet in the server's list. */
static KafkaServer *
read_server(Oid serverid, Oid userid, char **values)
{
	KafkaServer *server = palloc0(sizeof(KafkaServer));
	ForeignServer *catalogue = GetForeignServer(serverid);
	KafkaOption option;
	ListCell   *lc;

	kafka_option_server_defaults(server);
	server->serverid = serverid;
	server->userid = userid;
	server->name = catalogue->servername;
	foreach(lc, catalogue->options)
	{
		look_up(lfirst(lc), KAFKA_OBJECT_SERVER, "server", server->name, &option);
		kafka_option_apply_server(server, &option, values);
	}
	foreach(lc, mapping_options(serverid, userid, &server->umid))
	{
		look_up(lfirst(lc), KAFKA_OBJECT_MAPPING, "user mapping for server", server->name,
				&option);
		kafka_option_apply_server(server, &option, values);
	}
	return server;
}

/* The properties that are set, in the order of the table. */
static List *
list_properties(char **values)
{
	List	   *properties = NIL;
	int			count;
	const KafkaPropertyInfo *table = KafkaPropertyTable(&count);

	for (int i = 0; i < count; i++)
	{
		KafkaProperty *property;

		if (values[i] == NULL)
			continue;
		property = palloc(sizeof(KafkaProperty));
		property->name = pstrdup(table[i].name);
		property->value = values[i];
		properties = lappend(properties, property);
	}
	return properties;
}

KafkaServer *
KafkaOptionGetServer(Oid serverid, Oid userid)
{
	char	  **values = kafka_option_make_values();
	KafkaServer *server = read_server(serverid, userid, values);

	server->properties = list_properties(values);
	return server;
}

KafkaServer *
KafkaOptionCopyServer(const KafkaServer *server)
{
	KafkaServer *copy = palloc(sizeof(KafkaServer));
	ListCell   *lc;

	*copy = *server;
	copy->name = pstrdup(server->name);
	copy->properties = NIL;
	copy->allowed_topics = NIL;
	foreach(lc, server->properties)
	{
		const KafkaProperty *property = lfirst(lc);
		KafkaProperty *own = palloc(sizeof(KafkaProperty));

		own->name = pstrdup(property->name);
		own->value = pstrdup(property->value);
		copy->properties = lappend(copy->properties, own);
	}
	foreach(lc, server->allowed_topics)
		copy->allowed_topics = lappend(copy->allowed_topics, pstrdup(lfirst(lc)));
	return copy;
}

bool
KafkaOptionSameServer(const KafkaServer *a, const KafkaServer *b)
{
	ListCell   *la;
	ListCell   *lb;

	if (a->serverid != b->serverid || a->userid != b->userid || a->umid != b->umid ||
		a->message_timeout != b->message_timeout ||
		a->auto_create_topics != b->auto_create_topics ||
		list_length(a->properties) != list_length(b->properties))
		return false;
	forboth(la, a->properties, lb, b->properties)
	{
		KafkaProperty *pa = (KafkaProperty *) lfirst(la);
		KafkaProperty *pb = (KafkaProperty *) lfirst(lb);

		if (strcmp(pa->name, pb->name) != 0 || strcmp(pa->value, pb->value) != 0)
			return false;
	}
	return true;
}

KafkaTable *
KafkaOptionGetTable(Oid relid, Oid userid)
{
	ForeignTable *catalogue = GetForeignTable(relid);
	KafkaTable *table = palloc0(sizeof(KafkaTable));
	char	   *relname = get_rel_name(relid);
	char	  **values = kafka_option_make_values();
	bool		wait_given = false;
	bool		max_wait_given = false;
	bool		on_error_given = false;
	ListCell   *lc;

	kafka_option_table_defaults(table);
	table->relid = relid;
	table->server = read_server(catalogue->serverid, userid, values);
	foreach(lc, catalogue->options)
	{
		KafkaOption option;

		look_up(lfirst(lc), KAFKA_OBJECT_TABLE, "foreign table", relname, &option);
		kafka_option_apply_table(table, &option, values);
		wait_given |= option.id == KAFKA_OPTION_WAIT_TIMEOUT;
		max_wait_given |= option.id == KAFKA_OPTION_MAX_WAIT;
		on_error_given |= option.id == KAFKA_OPTION_ON_ERROR ||
			option.id == KAFKA_OPTION_IGNORE_JUNK;
	}
	kafka_option_check_format(table, catalogue->options);
	table->server->properties = list_properties(values);
	table->read_committed = table->server->read_committed;
	if (table->topic == NULL)
		table->topic = relname;

	/* Who reads from the end wants to wait for something, but hardly for ever. */
	if (table->start->all.kind == KAFKA_OFFSET_NEWEST && !wait_given)
	{
		table->wait_timeout = DEFAULT_TAIL_WAIT;
		if (!max_wait_given)
			table->max_wait = DEFAULT_TAIL_WAIT;
	}

	/* Who has a column for what is bad wants to see it there. */
	if ((!on_error_given || table->on_error == KAFKA_ON_ERROR_SET_NULL) &&
		kafka_option_has_junk(relid))
	{
		table->on_error = KAFKA_ON_ERROR_SET_NULL;
		table->strict_extra = true;
	}
	table->strict_extra |= table->strict;
	return table;
}

KafkaTableFormat
KafkaOptionTableFormat(Oid relid)
{
	KafkaTable	table = {0};
	ListCell   *lc;

	foreach(lc, GetForeignTable(relid)->options)
	{
		DefElem    *def = lfirst(lc);
		KafkaOption option;

		if (kafka_option_lookup(def->defname, defGetString(def), KAFKA_OBJECT_TABLE, &option) &&
			option.id == KAFKA_OPTION_FORMAT)
			kafka_option_apply_table(&table, &option, NULL);
	}
	return table.format;
}
