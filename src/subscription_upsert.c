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

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "row.h"
#include "subscription_upsert.h"

/* What the statements call the rows that they are given, and the target. */
#define ROWS "kafka_rows"
#define TARGET "kafka_target"

/* ------------------------------------------------------------------------
 * Messages
 * ------------------------------------------------------------------------ */

/* Begin anew with nothing kept. */
static void
open_table(KafkaUpsert *upsert)
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
forget_all(KafkaUpsert *upsert)
{
	MemoryContext old = MemoryContextSwitchTo(upsert->cxt);

	MemoryContextReset(upsert->cxt);
	open_table(upsert);
	MemoryContextSwitchTo(old);
}

/* What is known of the key in key_slot. */
static UpsertRow *
find_row(KafkaUpsert *upsert)
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
check_key(const KafkaUpsert *upsert)
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

/* Forget what a message said that another one of the key follows. */
static void
forget_tuple(UpsertRow *row)
{
	if (row->tuple)
		pfree(row->tuple);
	row->tuple = NULL;
	bms_free(row->unavailable);
	row->unavailable = NULL;
}

/* The key of a message that deletes, of which no other column is looked at. */
static void
store_delete(KafkaUpsert *upsert)
{
	UpsertRow  *row;

	(void) ExecProject(upsert->project_key);
	check_key(upsert);
	row = find_row(upsert);
	row->deleted = true;
	forget_tuple(row);
}

/*
 * Take what stays of the message of the key before this one: its key, which may be written in another
 * way, as an UPDATE leaves it alone; and what this one does not have, as far as it had that. The
 * columns that are still unavailable.
 */
static Bitmapset *
keep_former(KafkaUpsert *upsert, UpsertRow *row, TupleTableSlot *slot, Bitmapset *unavailable)
{
	TupleTableSlot *former = upsert->old_slot;

	ExecStoreMinimalTuple(row->tuple, former, false);
	slot_getallattrs(former);
	for (int i = 0; i < upsert->ncolumns; i++)
	{
		if (!upsert->columns[i].is_key && !bms_is_member(i, unavailable))
			continue;
		slot->tts_values[i] = former->tts_values[i];
		slot->tts_isnull[i] = former->tts_isnull[i];
	}
	return bms_int_members(unavailable, row->unavailable);
}

/* A message that gives a row. */
static void
store_upsert(KafkaUpsert *upsert, const bool *missing)
{
	TupleTableSlot *slot = ExecProject(upsert->project);
	Bitmapset  *unavailable = NULL;
	MinimalTuple tuple;
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
	if (row->tuple && (unavailable || !upsert->exact_key))
		unavailable = keep_former(upsert, row, slot, unavailable);
	tuple = ExecCopySlotMinimalTuple(slot); /* of what may be part of the former one */
	forget_tuple(row);
	row->tuple = tuple;
	row->unavailable = unavailable;
	MemoryContextSwitchTo(old);
}

/* Say which message an error is about, where that is known. */
static void
message_context(void *arg)
{
	const KafkaUpsert *upsert = arg;

	if (upsert->message)
		errcontext("foreign table \"%s\", topic \"%s\", partition %d, offset %lld",
				   RelationGetRelationName(upsert->source), upsert->topic,
				   upsert->message->partition, (long long) upsert->message->offset);
}

/* What a message says, which the slot shows. */
static void
store_message(KafkaUpsert *upsert, KafkaRow *row, const KafkaMessage *message, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(upsert->econtext->ecxt_per_tuple_memory);
	const bool *unavailable;

	upsert->message = message;
	upsert->econtext->ecxt_scantuple = slot;
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
	upsert->message = NULL;
	MemoryContextSwitchTo(old);
	ResetExprContext(upsert->econtext);
}

static void
read_messages(KafkaUpsert *upsert, const KafkaTable *table, const KafkaIngestBatch *batch)
{
	KafkaRow   *row = KafkaRowOpenRead(upsert->source, table, upsert->used);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(upsert->source),
													&TTSOpsVirtual);

	upsert->topic = table->topic;
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
target_name(const KafkaUpsert *upsert)
{
	return psprintf("%s%s", upsert->target->rd_rel->relkind == RELKIND_RELATION ? "ONLY " : "",
					quote_qualified_identifier(get_namespace_name(RelationGetNamespace(upsert->target)),
											   RelationGetRelationName(upsert->target)));
}

/* "target.a = rows.a", with the key's own operator and collation, whatever the search_path is. */
static void
append_comparison(const KafkaUpsert *upsert, const UpsertKey *key, StringInfo statement)
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

/* What is true for a row of the target and one of ours with the same key. */
static char *
same_key(const KafkaUpsert *upsert)
{
	StringInfoData condition;

	initStringInfo(&condition);
	for (int i = 0; i < upsert->nkeys; i++)
	{
		if (i > 0)
			appendStringInfoString(&condition, " AND ");
		append_comparison(upsert, &upsert->keys[i], &condition);
	}
	return condition.data;
}

static char *
delete_statement(const KafkaUpsert *upsert)
{
	return psprintf("DELETE FROM %s AS " TARGET " USING " ROWS " WHERE %s", target_name(upsert),
					same_key(upsert));
}

/* What changes rows that are there in all columns but these; NULL: there are no others. */
static char *
update_statement(const KafkaUpsert *upsert, const Bitmapset *without)
{
	StringInfoData set;

	initStringInfo(&set);
	for (int i = 0; i < upsert->ncolumns; i++)
	{
		const char *name = quote_identifier(upsert->columns[i].name);

		if (!bms_is_member(i, without) && !upsert->columns[i].is_key)
			appendStringInfo(&set, "%s%s = " ROWS ".%s", set.len > 0 ? ", " : "", name, name);
	}
	if (set.len == 0)
		return NULL;
	return psprintf("UPDATE %s AS " TARGET " SET %s FROM " ROWS " WHERE %s", target_name(upsert),
					set.data, same_key(upsert));
}

/*
 * What puts rows into the target that have all columns but these. Where there are such, rows that are
 * there are left alone: an INSERT would ask for a column that is NOT NULL before it finds them.
 */
static char *
upsert_statement(const KafkaUpsert *upsert, const Bitmapset *without)
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
					"%s ON CONFLICT (%s) DO %s%s", target, columns.data,
					upsert->overriding ? " OVERRIDING SYSTEM VALUE" : "", columns.data,
					without == NULL ? "" : psprintf(" WHERE NOT EXISTS (SELECT FROM %s AS " TARGET " WHERE %s)",
													target_name(upsert), same_key(upsert)),
					keys.data,
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

/* TRUNCATE does not suffer a table that is open, so it is let go of, but for its lock. */
static void
truncate_target(KafkaUpsert *upsert)
{
	char	   *statement = psprintf("TRUNCATE %s", target_name(upsert));
	Oid			target = RelationGetRelid(upsert->target);

	table_close(upsert->target, NoLock);
	SPI_connect();
	if (SPI_execute(statement, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not truncate the target of a subscription");
	SPI_finish();
	upsert->target = table_open(target, NoLock);
}

/* Delete the rows that a message deletes, even where a later one makes them again. */
static int64
delete_rows(const KafkaUpsert *upsert)
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
upsert_rows_like(const KafkaUpsert *upsert, int first, bool *done)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	const Bitmapset *unavailable = upsert->rows[first]->unavailable;
	char	   *update = unavailable ? update_statement(upsert, unavailable) : NULL;
	int64		nrows = 0;
	int64		nupdated = 0;

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
	if (update)
		nupdated = execute(update, upsert->desc, rows, nrows);
	nrows = execute(upsert_statement(upsert, unavailable), upsert->desc, rows, nrows);
	tuplestore_end(rows);
	return nupdated + nrows;
}

static int64
upsert_rows(const KafkaUpsert *upsert)
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
	KafkaUpsert upsert;
	ErrorContextCallback callback = {error_context_stack, message_context, &upsert};
	int64		nrows;

	kafka_upsert_open(&upsert, subscription);
	error_context_stack = &callback;
	upsert.cxt = AllocSetContextCreate(cxt, "kafka_fdw upsert rows", ALLOCSET_DEFAULT_SIZES);
	forget_all(&upsert);
	read_messages(&upsert, table, batch);
	if (KafkaIngestBatchCount(batch) == 1)
		upsert.message = KafkaIngestBatchMessage(batch, 0);
	if (upsert.truncate)
		truncate_target(&upsert);
	nrows = delete_rows(&upsert);
	nrows += upsert_rows(&upsert);
	error_context_stack = callback.previous;
	kafka_upsert_close(&upsert);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return nrows;
}

/* EXPLAIN begins the execution, and so finds out whether the current user may do it at all. */
void
kafka_subscription_check_upsert(const KafkaSubscription *subscription)
{
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	KafkaUpsert upsert;

	kafka_upsert_open(&upsert, subscription);
	(void) execute(psprintf("EXPLAIN %s", delete_statement(&upsert)), upsert.key_desc, rows, 0);
	(void) execute(psprintf("EXPLAIN %s", upsert_statement(&upsert, NULL)), upsert.desc, rows, 0);
	kafka_upsert_close(&upsert);
	tuplestore_end(rows);
}
