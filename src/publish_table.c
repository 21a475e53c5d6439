/*
 * publish_table.c
 *		kafka_publish_table() and kafka_unpublish_table(): the triggers of a table, and its rows.
 *
 * The rows that are there already have to be sent once each, and with no gap before the first
 * change that the triggers see. So the table is locked against writers, and stays so until the
 * transaction ends; then its rows are read as they are now. The transaction's own snapshot would
 * not do: it may be older than the last writer's commit.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "outbox.h"
#include "publish_private.h"
#include "setting.h"

PG_FUNCTION_INFO_V1(kafka_publish_table);
PG_FUNCTION_INFO_V1(kafka_unpublish_table);

enum PublishTableArgument
{
	ARG_RELATION,
	ARG_TOPIC,
	ARG_SERVER,
	ARG_KEY,
	ARG_FORMAT,
	ARG_DELIVERY,
	ARG_COLUMNS,
	ARG_SNAPSHOT
};

/* The arguments of a trigger that is to be made. */
typedef struct ArgumentList
{
	char	   *args[6];
	int			nargs;
} ArgumentList;

/* ------------------------------------------------------------------------
 * The table and its triggers
 * ------------------------------------------------------------------------ */

/* Open a table that belongs to the current role, locked. */
static Relation
open_own_table(Oid relid, LOCKMODE lockmode)
{
	Relation	rel;

	/* A lock is for the owner alone to take. */
	kafka_check_owner(relid);
	rel = table_open(relid, lockmode);
	kafka_check_owner(relid);
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", RelationGetRelationName(rel)),
				 errdetail("Rows of ordinary and of partitioned tables can be published.")));
	return rel;
}

static List *
function_name(void)
{
	return list_make2(makeString(get_namespace_name(KafkaOutboxSchema())),
					  makeString(PUBLISH_FUNCTION));
}

/* The triggers of a table that publish to a topic, as OIDs. */
static List *
find_triggers(Relation rel, const char *topic)
{
	Oid			function = LookupFuncName(function_name(), 0, NULL, false);
	List	   *result = NIL;

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (trigger->tgfoid == function && trigger->tgnargs > 0 &&
			strcmp(trigger->tgargs[0], topic) == 0)
			result = lappend_oid(result, trigger->tgoid);
	}
	return result;
}

/* Names of columns as a trigger's argument has them. */
static char *
make_names(const char *name, ArrayType *array)
{
	StringInfoData output;
	Datum	   *values;
	bool	   *nulls;
	int			nvalues;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &nvalues);
	if (nvalues == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" names no column", name),
				 errhint("NULL stands for the default.")));
	initStringInfo(&output);
	appendStringInfo(&output, "%s=", name);
	for (int i = 0; i < nvalues; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a name in \"%s\" is null", name)));
		appendStringInfo(&output, "%s%s", i > 0 ? "," : "",
						 quote_identifier(TextDatumGetCString(values[i])));
	}
	return output.data;
}

static const char *
get_word(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/*
 * What the triggers are to be told. The server is always named, so that one which is made later
 * leaves no doubt about it.
 */
static void
make_arguments(FunctionCallInfo fcinfo, Oid owner, ArgumentList *list)
{
	const char *server = PG_ARGISNULL(ARG_SERVER) ? NULL : NameStr(*PG_GETARG_NAME(ARG_SERVER));
	const char *format = get_word(fcinfo, ARG_FORMAT, "format");
	const char *delivery = get_word(fcinfo, ARG_DELIVERY, "delivery");
	Oid			serverid = KafkaOptionChooseServer(server, owner);

	list->nargs = 0;
	list->args[list->nargs++] = pstrdup(get_word(fcinfo, ARG_TOPIC, "topic"));
	list->args[list->nargs++] = psprintf("server=%s", GetForeignServer(serverid)->servername);
	if (kafka_publish_format(format) != PUBLISH_DEBEZIUM)
		list->args[list->nargs++] = psprintf("format=%s", format);
	if (kafka_publish_delivery(delivery) != KAFKA_DELIVERY_OUTBOX)
		list->args[list->nargs++] = psprintf("delivery=%s", delivery);
	if (!PG_ARGISNULL(ARG_KEY))
		list->args[list->nargs++] = make_names("key", PG_GETARG_ARRAYTYPE_P(ARG_KEY));
	if (!PG_ARGISNULL(ARG_COLUMNS))
		list->args[list->nargs++] = make_names("columns", PG_GETARG_ARRAYTYPE_P(ARG_COLUMNS));
}

/* A name that no trigger of the table has: that of the topic, which may be too long to be all of it. */
static char *
choose_name(Relation rel, const char *topic, const char *label)
{
	char	   *name = makeObjectName(PUBLISH_FUNCTION, topic, label);

	for (int i = 1; OidIsValid(get_trigger_oid(RelationGetRelid(rel), name, true)); i++)
		name = makeObjectName(PUBLISH_FUNCTION, topic, psprintf("%s%d", label ? label : "", i));
	return name;
}

/* Make a trigger; row: for the changes of rows, else for TRUNCATE. */
static void
make_trigger(Relation rel, const ArgumentList *list, bool row)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);

	stmt->trigname = choose_name(rel, list->args[0], row ? NULL : "truncate");
	stmt->funcname = function_name();
	for (int i = 0; i < list->nargs; i++)
		stmt->args = lappend(stmt->args, makeString(list->args[i]));
	stmt->row = row;
	stmt->timing = TRIGGER_TYPE_AFTER;
	stmt->events = row ? TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE
		: TRIGGER_TYPE_TRUNCATE;
	CreateTrigger(stmt, NULL, RelationGetRelid(rel), InvalidOid, InvalidOid, InvalidOid,
				  InvalidOid, InvalidOid, NULL, false, false);
	CommandCounterIncrement();
}

/* ------------------------------------------------------------------------
 * The rows that are there
 * ------------------------------------------------------------------------ */

/* What a table, or a partition of it, publishes. */
static KafkaPublication *
open_publication(Relation rel, Oid published, const ArgumentList *list)
{
	KafkaPublication *publication = palloc0(sizeof(KafkaPublication));

	kafka_publish_read_arguments(list->nargs, list->args,
								 &publication->arguments);
	kafka_publish_resolve(publication, rel, published);
	return publication;
}

/* All of the rows are sent in the owner's name: who asks for it must be allowed to read them. */
static void
check_read(Relation rel)
{
	AclResult	result = pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), ACL_SELECT);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, RelationGetRelationName(rel));
	if (check_enable_rls(RelationGetRelid(rel), InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot publish the rows of table \"%s\" that are there already",
						RelationGetRelationName(rel)),
				 errdetail("Row-level security would hide some of them.")));
}

/* Send the rows of a table that has some itself. */
static void
publish_rows(Relation rel, Oid published, const ArgumentList *list, Snapshot snapshot,
			 KafkaBatch *batch)
{
	KafkaPublication *publication = open_publication(rel, published, list);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "kafka_publish row",
												  ALLOCSET_DEFAULT_SIZES);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		KafkaOutgoing messages[PUBLISH_MAX_MESSAGES];
		MemoryContext oldcontext = MemoryContextSwitchTo(context);
		PublishRow	row = kafka_publish_row(publication, slot);
		int			nmessages;

		CHECK_FOR_INTERRUPTS();
		nmessages = kafka_publish_messages(publication, PUBLISH_READ, NULL, &row, messages);
		kafka_publish_deliver(publication, batch, messages, nmessages);
		MemoryContextSwitchTo(oldcontext);
		MemoryContextReset(context);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(context);
}

/* The rows of a table and its partitions, which are locked. */
static void
publish_snapshot(Relation rel, List *relids, const ArgumentList *list, KafkaBatch *batch)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ListCell   *lc;

	check_read(rel);
	foreach(lc, relids)
	{
		Relation	part = table_open(lfirst_oid(lc), NoLock);

		if (part->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot publish the rows of foreign table \"%s\"",
							RelationGetRelationName(part)),
					 errdetail("Its server may change them meanwhile.")));
		if (part->rd_rel->relkind == RELKIND_RELATION)
			publish_rows(part, RelationGetRelid(rel), list, snapshot, batch);
		table_close(part, NoLock);
	}
	UnregisterSnapshot(snapshot);
}

/* ------------------------------------------------------------------------
 * The functions
 * ------------------------------------------------------------------------ */

/* Start the relay, if it does not run. */
static void
wake_relay(const KafkaServer *server)
{
	KafkaOutboxWakeRelay(server->serverid,
						 KafkaOptionMappingRole(server->serverid, server->userid));
}

Datum
kafka_publish_table(PG_FUNCTION_ARGS)
{
	ArgumentList list;
	KafkaPublication *publication;
	KafkaBatch *batch;
	Relation	rel;
	List	   *relids;

	KafkaSettingCheckWrite("kafka_publish_table()");
	if (PG_ARGISNULL(ARG_RELATION))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null")));
	rel = open_own_table(PG_GETARG_OID(ARG_RELATION), ShareRowExclusiveLock);
	relids = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE
		? find_all_inheritors(RelationGetRelid(rel), ShareRowExclusiveLock, NULL)
		: list_make1_oid(RelationGetRelid(rel));

	make_arguments(fcinfo, rel->rd_rel->relowner, &list);
	publication = open_publication(rel, RelationGetRelid(rel), &list);
	if (find_triggers(rel, list.args[0]) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" is published to topic \"%s\" already",
						RelationGetRelationName(rel), list.args[0]),
				 errhint("Call kafka_unpublish_table() first.")));
	make_trigger(rel, &list, true);
	make_trigger(rel, &list, false);

	/* This asks Kafka for the topic, whatever the delivery is. */
	batch = KafkaBatchBegin(publication->server, list.args[0]);
	if (publication->arguments.delivery != KAFKA_DELIVERY_IMMEDIATE)
	{
		KafkaBatchFinish(batch);
		batch = NULL;
	}
	if (!PG_ARGISNULL(ARG_SNAPSHOT) && PG_GETARG_BOOL(ARG_SNAPSHOT))
		publish_snapshot(rel, relids, &list, batch);
	if (batch)
		KafkaBatchFinish(batch);
	if (publication->arguments.delivery == KAFKA_DELIVERY_OUTBOX)
		wake_relay(publication->server);
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}

Datum
kafka_unpublish_table(PG_FUNCTION_ARGS)
{
	Relation	rel = open_own_table(PG_GETARG_OID(ARG_RELATION), AccessExclusiveLock);
	char	   *topic = text_to_cstring(PG_GETARG_TEXT_PP(ARG_TOPIC));
	List	   *triggers = find_triggers(rel, topic);
	ObjectAddresses *objects = new_object_addresses();
	ListCell   *lc;

	if (triggers == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" is not published to topic \"%s\"",
						RelationGetRelationName(rel), topic)));
	foreach(lc, triggers)
	{
		ObjectAddress object;

		ObjectAddressSet(object, TriggerRelationId, lfirst_oid(lc));
		add_exact_object_address(&object, objects);
	}
	table_close(rel, NoLock);
	performMultipleDeletions(objects, DROP_RESTRICT, 0);
	free_object_addresses(objects);
	PG_RETURN_VOID();
}
