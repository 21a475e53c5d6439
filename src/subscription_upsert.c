/*
 * subscription_upsert.c
 *		Mode upsert: a batch as changes of the target's rows, by key.
 *
 * The messages are read one by one. For each key, as the target compares it, what the last message
 * says is kept, and whether one before it has deleted the row. What is left goes to the target in
 * a few statements: TRUNCATE, where a message says so, DELETE, and INSERT ... ON CONFLICT DO UPDATE. So
 * the target's triggers, partitions, policies and rights count as for anybody, and the result is what
 * the messages would have made of it one after the other.
 *
 * That holds where the statements succeed. Among rows that hand a value of another unique index over
 * to each other they may fail where the messages in turn would not, so the caller then tries parts of
 * the batch, down to single messages.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "row.h"
#include "subscription_private.h"

/* What the statements call the rows that they are given, and the target. */
#define ROWS "kafka_rows"
#define TARGET "kafka_target"

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

typedef struct Upsert
{
	Relation	source;
	Relation	target;
	UpsertColumn *columns;
	int			ncolumns;
	UpsertKey  *keys;
	int			nkeys;
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
	const KafkaMessage *message;	/* being read, for the error context */
} Upsert;

/* ------------------------------------------------------------------------
 * The key
 * ------------------------------------------------------------------------ */

/* Whether an index can decide ON CONFLICT; if not, why. */
static const char *
index_problem(Relation index)
{
	if (!index->rd_index->indimmediate)
		return "Its constraint is deferrable.";
	if (RelationGetIndexPredicate(index) != NIL)
		return "Its index is partial.";
	if (!index->rd_index->indisvalid)
		return "Its index is not valid.";
	return NULL;
}

/* Whether an index is a unique one of just these columns of its table. */
static bool
index_has_columns(Relation index, Bitmapset *attnums)
{
	Bitmapset  *own = NULL;
	bool		same;

	if (!index->rd_index->indisunique || RelationGetIndexExpressions(index) != NIL)
		return false;
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		own = bms_add_member(own, index->rd_index->indkey.values[i]);
	same = bms_equal(own, attnums);
	bms_free(own);
	return same;
}

/* The index that makes these columns a key; opened. */
static Relation
open_key_index(Relation target, Bitmapset *attnums)
{
	const char *problem = NULL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(target))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index_has_columns(index, attnums))
		{
			const char *reason = index_problem(index);

			if (reason == NULL)
				return index;
			problem = reason;
		}
		index_close(index, AccessShareLock);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
			 errmsg("the key is not unique in table \"%s\"", RelationGetRelationName(target)),
			 problem ? errdetail_internal("%s", problem) : 0,
			 errhint("Mode \"upsert\" needs a primary key, a unique constraint or a unique index of just these columns, that is neither deferrable nor partial.")));
}

/* The number of a column, of those that both relations have. */
static int
find_column(const Upsert *upsert, AttrNumber target)
{
	for (int i = 0; i < upsert->ncolumns; i++)
	{
		if (upsert->columns[i].target == target)
			return i;
	}
	return -1;
}

/* The attributes of the target that are its key. */
static Bitmapset *
key_attributes(const Upsert *upsert, List *names)
{
	Bitmapset  *result = NULL;
	ListCell   *lc;

	foreach(lc, names)
	{
		const char *name = lfirst(lc);
		AttrNumber	attnum = get_attnum(RelationGetRelid(upsert->target), name);

		if (attnum <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of the key does not exist in table \"%s\"", name,
							RelationGetRelationName(upsert->target))));
		if (bms_is_member(attnum, result))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" is in the key twice", name)));
		if (find_column(upsert, attnum) < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of the key does not exist in foreign table \"%s\"",
							name, RelationGetRelationName(upsert->source)),
					 errhint("Columns of the source go to those of the target that have their names.")));
		result = bms_add_member(result, attnum);
	}
	return result;
}

/* Find the columns of the key, and how the target compares them. */
static void
open_key(Upsert *upsert, List *names)
{
	Relation	index = open_key_index(upsert->target, key_attributes(upsert, names));

	upsert->nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	upsert->keys = palloc0(upsert->nkeys * sizeof(UpsertKey));
	for (int i = 0; i < upsert->nkeys; i++)
	{
		UpsertKey  *key = &upsert->keys[i];
		AttrNumber	attnum = index->rd_index->indkey.values[i];
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(upsert->target), attnum - 1);

		key->column = find_column(upsert, attnum);
		upsert->columns[key->column].is_key = true;
		key->collation = index->rd_indcollation[i];
		key->equal = get_opfamily_member(index->rd_opfamily[i], index->rd_opcintype[i],
										 index->rd_opcintype[i], BTEqualStrategyNumber);
		if (!OidIsValid(key->equal) || !op_hashjoinable(key->equal, attr->atttypid))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of table \"%s\" cannot be a key of a subscription",
							NameStr(attr->attname), RelationGetRelationName(upsert->target)),
					 errdetail("Values of type %s cannot be hashed.",
							   format_type_be(attr->atttypid))));
	}
	index_close(index, NoLock);
}

List *
kafka_subscription_default_key(Oid target)
{
	Relation	rel = table_open(target, AccessShareLock);
	Oid			primary = kafka_primary_key_index(rel);
	List	   *names = NIL;

	if (!OidIsValid(primary))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("table \"%s\" has no primary key", RelationGetRelationName(rel)),
				 errhint("Mode \"upsert\" needs one, or a key, as in key => ARRAY['id'].")));
	{
		Relation	index = index_open(primary, AccessShareLock);

		for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
			names = lappend(names, get_attname(target, index->rd_index->indkey.values[i], false));
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
	return names;
}

/* ------------------------------------------------------------------------
 * Columns
 * ------------------------------------------------------------------------ */

/* Match the columns by name. What the target generates is left to it. */
static void
match_columns(Upsert *upsert)
{
	TupleDesc	desc = RelationGetDescr(upsert->target);

	upsert->columns = palloc0(desc->natts * sizeof(UpsertColumn));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		UpsertColumn *column = &upsert->columns[upsert->ncolumns];

		if (attr->attisdropped || attr->attgenerated != '\0')
			continue;
		column->source = get_attnum(RelationGetRelid(upsert->source), NameStr(attr->attname));
		if (column->source <= 0)
			continue;
		column->name = pstrdup(NameStr(attr->attname));
		column->target = attr->attnum;
		upsert->used = bms_add_member(upsert->used,
									  column->source - FirstLowInvalidHeapAttributeNumber);
		if (attr->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
			upsert->overriding = true;
		upsert->ncolumns++;
	}
}

/* The source is not read by a statement, so its privileges are looked at here. */
static void
check_source_privileges(const Upsert *upsert)
{
	Oid			relid = RelationGetRelid(upsert->source);

	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return;
	for (int i = 0; i < upsert->ncolumns; i++)
	{
		AclResult	result = pg_attribute_aclcheck(relid, upsert->columns[i].source, GetUserId(),
												   ACL_SELECT);

		if (result != ACLCHECK_OK)
			aclcheck_error(result, get_relkind_objtype(RELKIND_FOREIGN_TABLE),
						   RelationGetRelationName(upsert->source));
	}
}

/* The value of a column, of the target's type, made from the source's as an INSERT would. */
static Expr *
make_value(const Upsert *upsert, const UpsertColumn *column)
{
	Form_pg_attribute from = TupleDescAttr(RelationGetDescr(upsert->source), column->source - 1);
	Form_pg_attribute to = TupleDescAttr(RelationGetDescr(upsert->target), column->target - 1);
	Node	   *var = (Node *) makeVar(1, column->source, from->atttypid, from->atttypmod,
									   from->attcollation, 0);
	Node	   *value = coerce_to_target_type(NULL, var, from->atttypid, to->atttypid, to->atttypmod,
											  COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);

	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" is of type %s in \"%s\", but of type %s in \"%s\"",
						column->name, format_type_be(to->atttypid),
						RelationGetRelationName(upsert->target), format_type_be(from->atttypid),
						RelationGetRelationName(upsert->source)),
				 errdetail("There is no assignment cast between them.")));
	return expression_planner((Expr *) value);
}

/* Have a column in a projection's list, and in the description of what comes of it. */
static List *
add_column(const Upsert *upsert, const UpsertColumn *column, List *list, TupleDesc desc)
{
	AttrNumber	n = list_length(list) + 1;
	Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(upsert->target), column->target - 1);

	TupleDescInitEntry(desc, n, column->name, attr->atttypid, attr->atttypmod, attr->attndims);
	TupleDescInitEntryCollation(desc, n, attr->attcollation);
	return lappend(list, makeTargetEntry(make_value(upsert, column), n, NULL, false));
}

/* Prepare to make rows, and keys, of what the source shows. */
static void
open_projections(Upsert *upsert)
{
	List	   *list = NIL;
	List	   *keys = NIL;

	upsert->desc = CreateTemplateTupleDesc(upsert->ncolumns);
	upsert->key_desc = CreateTemplateTupleDesc(upsert->nkeys);
	for (int i = 0; i < upsert->ncolumns; i++)
		list = add_column(upsert, &upsert->columns[i], list, upsert->desc);
	for (int i = 0; i < upsert->nkeys; i++)
		keys = add_column(upsert, &upsert->columns[upsert->keys[i].column], keys,
						  upsert->key_desc);
	upsert->econtext = CreateStandaloneExprContext();
	upsert->key_slot = MakeSingleTupleTableSlot(upsert->key_desc, &TTSOpsVirtual);
	upsert->old_slot = MakeSingleTupleTableSlot(upsert->desc, &TTSOpsMinimalTuple);
	upsert->project = ExecBuildProjectionInfo(list, upsert->econtext,
											  MakeSingleTupleTableSlot(upsert->desc,
																	   &TTSOpsVirtual),
											  NULL, RelationGetDescr(upsert->source));
	upsert->project_key = ExecBuildProjectionInfo(keys, upsert->econtext, upsert->key_slot, NULL,
												  RelationGetDescr(upsert->source));
}

/* Everything that does not depend on the messages. */
static void
open_upsert(Upsert *upsert, const KafkaSubscription *subscription)
{
	memset(upsert, 0, sizeof(Upsert));
	upsert->target = table_open(subscription->target, RowExclusiveLock);
	if (upsert->target->rd_rel->relkind == RELKIND_VIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("view \"%s\" cannot be the target of a subscription in mode \"upsert\"",
						RelationGetRelationName(upsert->target)),
				 errdetail("A view has no unique index.")));
	upsert->source = table_open(subscription->source, AccessShareLock);
	match_columns(upsert);
	open_key(upsert, subscription->key);
	check_source_privileges(upsert);
	open_projections(upsert);
}

static void
close_upsert(Upsert *upsert)
{
	FreeExprContext(upsert->econtext, true);
	table_close(upsert->source, NoLock);
	table_close(upsert->target, NoLock);
}

/* ------------------------------------------------------------------------
 * Messages
 * ------------------------------------------------------------------------ */

/* Begin anew with nothing kept. */
static void
open_table(Upsert *upsert)
{
	AttrNumber *columns = palloc(upsert->nkeys * sizeof(AttrNumber));
	Oid		   *equal = palloc(upsert->nkeys * sizeof(Oid));
	Oid		   *collations = palloc(upsert->nkeys * sizeof(Oid));
	Oid		   *equal_functions;
	FmgrInfo   *hash_functions;

	for (int i = 0; i < upsert->nkeys; i++)
	{
		columns[i] = i + 1;
		equal[i] = upsert->keys[i].equal;
		collations[i] = upsert->keys[i].collation;
	}
	execTuplesHashPrepare(upsert->nkeys, equal, &equal_functions, &hash_functions);
	upsert->table = kafka_build_tuple_hash(upsert->key_desc, upsert->nkeys, columns,
										   equal_functions, hash_functions, collations,
										   upsert->cxt,
										   upsert->econtext->ecxt_per_tuple_memory);
	upsert->nrows = 0;
	upsert->size = 256;
	upsert->rows = palloc(upsert->size * sizeof(UpsertRow *));
}

static void
forget_all(Upsert *upsert)
{
	MemoryContext old = MemoryContextSwitchTo(upsert->cxt);

	MemoryContextReset(upsert->cxt);
	open_table(upsert);
	MemoryContextSwitchTo(old);
}

/* What is known of the key in key_slot. */
static UpsertRow *
find_row(Upsert *upsert)
{
	bool		isnew;
	TupleHashEntry entry = LookupTupleHashEntry(upsert->table, upsert->key_slot, &isnew, NULL);
	UpsertRow **payload = (UpsertRow **) kafka_tuple_hash_payload(upsert->table, entry);

	if (!isnew)
		return *payload;
	*payload = MemoryContextAllocZero(upsert->cxt, sizeof(UpsertRow));
	(*payload)->key = kafka_tuple_hash_tuple(entry);
	if (upsert->nrows == upsert->size)
	{
		upsert->size *= 2;
		upsert->rows = repalloc_huge(upsert->rows, upsert->size * sizeof(UpsertRow *));
	}
	upsert->rows[upsert->nrows++] = *payload;
	return *payload;
}

/* A row without its key would be another row each time. */
static void
check_key(const Upsert *upsert)
{
	for (int i = 0; i < upsert->nkeys; i++)
	{
		const char *name = upsert->columns[upsert->keys[i].column].name;
		bool		tombstone = upsert->message->value == NULL;

		if (!upsert->key_slot->tts_isnull[i])
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 tombstone ? errmsg("a tombstone has no value for column \"%s\" of the key", name)
				 : errmsg("a message has no value for column \"%s\" of the key", name),
				 tombstone ? errhint("A tombstone has a key alone: let column \"%s\" of the foreign table show what is in it, by the option key or json_key.",
									 name) : 0));
	}
}

/* The key of a message that deletes, of which no other column is looked at. */
static void
store_delete(Upsert *upsert)
{
	UpsertRow  *row;

	(void) ExecProject(upsert->project_key);
	check_key(upsert);
	row = find_row(upsert);
	row->deleted = true;
	row->tuple = NULL;
	row->unavailable = NULL;
}

/* Take what a message does not have from the message of the key before it, where that has it. */
static Bitmapset *
fill_unavailable(Upsert *upsert, UpsertRow *row, TupleTableSlot *slot, Bitmapset *unavailable)
{
	int			i = -1;

	if (row->tuple == NULL)
		return unavailable;
	ExecStoreMinimalTuple(row->tuple, upsert->old_slot, false);
	slot_getallattrs(upsert->old_slot);
	while ((i = bms_next_member(unavailable, i)) >= 0)
	{
		slot->tts_values[i] = upsert->old_slot->tts_values[i];
		slot->tts_isnull[i] = upsert->old_slot->tts_isnull[i];
	}
	return bms_int_members(unavailable, row->unavailable);
}

/* A message that gives a row. */
static void
store_upsert(Upsert *upsert, const bool *missing)
{
	TupleTableSlot *slot = ExecProject(upsert->project);
	Bitmapset  *unavailable = NULL;
	MemoryContext old;
	UpsertRow  *row;

	ExecClearTuple(upsert->key_slot);
	for (int i = 0; i < upsert->nkeys; i++)
	{
		upsert->key_slot->tts_values[i] = slot->tts_values[upsert->keys[i].column];
		upsert->key_slot->tts_isnull[i] = slot->tts_isnull[upsert->keys[i].column];
	}
	ExecStoreVirtualTuple(upsert->key_slot);
	check_key(upsert);
	row = find_row(upsert);
	old = MemoryContextSwitchTo(upsert->cxt);
	for (int i = 0; missing && i < upsert->ncolumns; i++)
	{
		if (missing[upsert->columns[i].source - 1])
			unavailable = bms_add_member(unavailable, i);
	}
	if (unavailable)
		unavailable = fill_unavailable(upsert, row, slot, unavailable);
	row->unavailable = unavailable;
	/* The former tuple stays until the batch is over: what was taken from it points into it. */
	row->tuple = ExecCopySlotMinimalTuple(slot);
	MemoryContextSwitchTo(old);
}

/* Say which message an error is about. */
static void
message_context(void *arg)
{
	const Upsert *upsert = arg;

	if (upsert->message)
		errcontext("foreign table \"%s\", partition %d, offset %lld",
				   RelationGetRelationName(upsert->source), upsert->message->partition,
				   (long long) upsert->message->offset);
}

/* What a message says, which the slot shows. */
static void
store_message(Upsert *upsert, KafkaRow *row, const KafkaMessage *message, TupleTableSlot *slot)
{
	ErrorContextCallback callback = {error_context_stack, message_context, upsert};
	MemoryContext old = MemoryContextSwitchTo(upsert->econtext->ecxt_per_tuple_memory);
	const bool *unavailable;

	upsert->message = message;
	upsert->econtext->ecxt_scantuple = slot;
	error_context_stack = &callback;
	switch (KafkaRowChange(row, message, &unavailable))
	{
		case KAFKA_CHANGE_UPSERT:
			store_upsert(upsert, unavailable);
			break;
		case KAFKA_CHANGE_DELETE:
			store_delete(upsert);
			break;
		case KAFKA_CHANGE_TRUNCATE:
			forget_all(upsert);
			upsert->truncate = true;
			break;
		case KAFKA_CHANGE_NONE:
			break;
	}
	error_context_stack = callback.previous;
	MemoryContextSwitchTo(old);
	ResetExprContext(upsert->econtext);
}

static void
read_messages(Upsert *upsert, const KafkaTable *table, const KafkaIngestBatch *batch)
{
	KafkaRow   *row = KafkaRowOpenRead(upsert->source, table, upsert->used);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(upsert->source),
													&TTSOpsVirtual);

	for (int i = 0; i < KafkaIngestBatchCount(batch); i++)
	{
		const KafkaMessage *message = KafkaIngestBatchMessage(batch, i);

		CHECK_FOR_INTERRUPTS();
		if (KafkaRowStore(row, message, KafkaIngestBatchHeaders, NULL, slot))
			store_message(upsert, row, message, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	KafkaRowWarnSkipped(row, KafkaRowSkipped(row));
}

/* ------------------------------------------------------------------------
 * Statements
 * ------------------------------------------------------------------------ */

/* The target's name; a plain table's alone, as its unique index is not that of tables that inherit. */
static char *
target_name(const Upsert *upsert)
{
	return psprintf("%s%s", upsert->target->rd_rel->relkind == RELKIND_RELATION ? "ONLY " : "",
					quote_qualified_identifier(get_namespace_name(RelationGetNamespace(upsert->target)),
											   RelationGetRelationName(upsert->target)));
}

/* "target.a = rows.a", with the key's own operator and collation, whatever the search_path is. */
static void
append_comparison(const Upsert *upsert, const UpsertKey *key, StringInfo statement)
{
	const UpsertColumn *column = &upsert->columns[key->column];
	Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(upsert->target), column->target - 1);
	const char *name = quote_identifier(column->name);
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(key->equal));
	Form_pg_operator form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", key->equal);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	appendStringInfo(statement, TARGET ".%s", name);
	if (OidIsValid(key->collation) && key->collation != attr->attcollation)
		appendStringInfo(statement, " COLLATE %s", generate_collation_name(key->collation));
	appendStringInfo(statement, " OPERATOR(%s.%s) " ROWS ".%s",
					 quote_identifier(get_namespace_name(form->oprnamespace)),
					 NameStr(form->oprname), name);
	ReleaseSysCache(tuple);
}

static char *
delete_statement(const Upsert *upsert)
{
	StringInfoData statement;

	initStringInfo(&statement);
	appendStringInfo(&statement, "DELETE FROM %s AS " TARGET " USING " ROWS " WHERE ",
					 target_name(upsert));
	for (int i = 0; i < upsert->nkeys; i++)
	{
		if (i > 0)
			appendStringInfoString(&statement, " AND ");
		append_comparison(upsert, &upsert->keys[i], &statement);
	}
	return statement.data;
}

/* What puts rows into the target that have all columns but these. */
static char *
upsert_statement(const Upsert *upsert, const Bitmapset *without)
{
	StringInfoData columns;
	StringInfoData keys;
	StringInfoData set;
	const char *target = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(upsert->target)),
													RelationGetRelationName(upsert->target));

	initStringInfo(&columns);
	initStringInfo(&keys);
	initStringInfo(&set);
	for (int i = 0; i < upsert->ncolumns; i++)
	{
		const char *name = quote_identifier(upsert->columns[i].name);

		if (bms_is_member(i, without))
			continue;
		appendStringInfo(&columns, "%s%s", columns.len > 0 ? ", " : "", name);
		if (upsert->columns[i].is_key)
			appendStringInfo(&keys, "%s%s", keys.len > 0 ? ", " : "", name);
		else
			appendStringInfo(&set, "%s%s = excluded.%s", set.len > 0 ? ", " : "", name, name);
	}
	return psprintf("INSERT INTO %s AS " TARGET " (%s)%s SELECT %s FROM " ROWS
					" ON CONFLICT (%s) DO %s%s", target, columns.data,
					upsert->overriding ? " OVERRIDING SYSTEM VALUE" : "", columns.data, keys.data,
					set.len > 0 ? "UPDATE SET " : "NOTHING", set.data);
}

/* Execute a statement on rows, as the current user; the number of rows that it changes. */
static int64
execute(const char *statement, TupleDesc desc, Tuplestorestate *rows, int64 nrows)
{
	EphemeralNamedRelationData relation = {{0}};
	int			rc;

	SPI_connect();
	relation.md.name = ROWS;
	relation.md.reliddesc = InvalidOid;
	relation.md.tupdesc = desc;
	relation.md.enrtype = ENR_NAMED_TUPLESTORE;
	relation.md.enrtuples = nrows;
	relation.reldata = rows;
	if (SPI_register_relation(&relation) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not show a subscription's rows to its statement");
	rc = SPI_execute(statement, false, 0);
	if (rc < 0)
		elog(ERROR, "could not execute a subscription's statement: %s", SPI_result_code_string(rc));
	nrows = (int64) SPI_processed;
	SPI_finish();
	return nrows;
}

static void
truncate_target(const Upsert *upsert)
{
	SPI_connect();
	if (SPI_execute(psprintf("TRUNCATE %s", target_name(upsert)), false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not truncate the target of a subscription");
	SPI_finish();
}

/* Delete the rows that a message deletes, even where a later one makes them again. */
static int64
delete_rows(const Upsert *upsert)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(upsert->key_desc, &TTSOpsMinimalTuple);
	int64		nrows = 0;

	for (int i = 0; i < upsert->nrows; i++)
	{
		if (!upsert->rows[i]->deleted)
			continue;
		ExecStoreMinimalTuple(upsert->rows[i]->key, slot, false);
		tuplestore_puttupleslot(rows, slot);
		nrows++;
	}
	ExecDropSingleTupleTableSlot(slot);
	if (nrows > 0)
		nrows = execute(delete_statement(upsert), upsert->key_desc, rows, nrows);
	tuplestore_end(rows);
	return nrows;
}

/* Insert or update those rows that lack the same columns as the first one, which is one of them. */
static int64
upsert_rows_like(const Upsert *upsert, int first, bool *done)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	const Bitmapset *unavailable = upsert->rows[first]->unavailable;
	int64		nrows = 0;

	for (int i = first; i < upsert->nrows; i++)
	{
		const UpsertRow *row = upsert->rows[i];

		if (done[i] || row->tuple == NULL || !bms_equal(row->unavailable, unavailable))
			continue;
		ExecStoreMinimalTuple(row->tuple, upsert->old_slot, false);
		tuplestore_puttupleslot(rows, upsert->old_slot);
		done[i] = true;
		nrows++;
	}
	nrows = execute(upsert_statement(upsert, unavailable), upsert->desc, rows, nrows);
	tuplestore_end(rows);
	return nrows;
}

static int64
upsert_rows(const Upsert *upsert)
{
	bool	   *done = palloc_extended(upsert->nrows * sizeof(bool),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	int64		nrows = 0;

	for (int i = 0; i < upsert->nrows; i++)
	{
		if (!done[i] && upsert->rows[i]->tuple)
			nrows += upsert_rows_like(upsert, i, done);
	}
	pfree(done);
	return nrows;
}

int64
kafka_subscription_upsert_batch(const KafkaSubscription *subscription, const KafkaTable *table,
								const KafkaIngestBatch *batch)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw upsert",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Upsert		upsert;
	int64		nrows;

	open_upsert(&upsert, subscription);
	upsert.cxt = AllocSetContextCreate(cxt, "kafka_fdw upsert rows", ALLOCSET_DEFAULT_SIZES);
	forget_all(&upsert);
	read_messages(&upsert, table, batch);
	if (upsert.truncate)
		truncate_target(&upsert);
	nrows = delete_rows(&upsert);
	nrows += upsert_rows(&upsert);
	close_upsert(&upsert);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return nrows;
}

/* EXPLAIN begins the execution, and so finds out whether the current user may do it at all. */
void
kafka_subscription_check_upsert(const KafkaSubscription *subscription)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	Upsert		upsert;

	open_upsert(&upsert, subscription);
	(void) execute(psprintf("EXPLAIN %s", delete_statement(&upsert)), upsert.key_desc, rows, 0);
	(void) execute(psprintf("EXPLAIN %s", upsert_statement(&upsert, NULL)), upsert.desc, rows, 0);
	close_upsert(&upsert);
	tuplestore_end(rows);
}
