/*
 * subscription_insert.c
 *		A batch straight into its target, where nothing stands between: no trigger, rule, policy or
 *		conversion.
 *
 * This does what COPY FROM does to a plain table: rows are formed in memory and put into pages many
 * at a time, with constraints, defaults and indexes as always. Whatever asks for more takes the way
 * of an INSERT ... SELECT, and so does a role whose rights are not plainly those on the whole table.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "compat.h"
#include "row.h"
#include "subscription_private.h"

#define MAX_ROWS 1000			/* formed before they are put into pages ... */
#define MAX_BYTES 65536			/* ... or so many bytes of messages */

/* Where a column of the target gets its values from. */
typedef struct InsertColumn
{
	AttrNumber	source;			/* in the source; 0: it has none there */
	ExprState  *value;			/* its default; NULL: none */
} InsertColumn;

typedef struct Insert
{
	Relation	source;
	Relation	target;
	InsertColumn *columns;		/* of the target's attributes */
	Bitmapset  *used;			/* attributes of the source, as KafkaRowOpenRead takes them */
	EState	   *estate;
	ResultRelInfo *result;
	BulkInsertState bulk;
	TupleDesc	desc;			/* of the target: a copy, for the slots */
	CommandId	command;
	TupleTableSlot **slots;
	int			nslots;			/* made */
	int			nrows;			/* formed, in slots */
	Size		bytes;			/* of the messages they were made from */
} Insert;

/* Whether rows of the target can be made without further ado. */
static bool
is_plain(Relation target)
{
	return target->rd_rel->relkind == RELKIND_RELATION && !target->rd_rel->relispartition &&
		target->trigdesc == NULL && target->rd_rules == NULL &&
		!(target->rd_att->constr && target->rd_att->constr->has_generated_stored) &&
		check_enable_rls(RelationGetRelid(target), InvalidOid, true) == RLS_NONE;
}

static bool
is_allowed(const Insert *insert)
{
	return pg_class_aclcheck(RelationGetRelid(insert->target), GetUserId(), ACL_INSERT) == ACLCHECK_OK &&
		pg_class_aclcheck(RelationGetRelid(insert->source), GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

/* The default of a column that has no source; false where it may look at what we are doing. */
static bool
open_default(Insert *insert, AttrNumber attnum, InsertColumn *column)
{
	Expr	   *expr = (Expr *) build_column_default(insert->target, attnum);

	if (expr == NULL)
		return true;
	expr = expression_planner(expr);
	if (contain_volatile_functions_not_nextval((Node *) expr))
		return false;
	column->value = ExecInitExpr(expr, NULL);
	return true;
}

/* Find each column's source; false where a value would have to be converted. */
static bool
match_columns(Insert *insert)
{
	TupleDesc	from = RelationGetDescr(insert->source);
	TupleDesc	to = RelationGetDescr(insert->target);

	insert->columns = palloc0(to->natts * sizeof(InsertColumn));
	for (int i = 0; i < to->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(to, i);
		InsertColumn *column = &insert->columns[i];
		Form_pg_attribute other;

		if (attr->attisdropped)
			continue;
		column->source = get_attnum(RelationGetRelid(insert->source), NameStr(attr->attname));
		if (column->source <= 0)
		{
			column->source = 0;
			if (!open_default(insert, attr->attnum, column))
				return false;
			continue;
		}
		other = TupleDescAttr(from, column->source - 1);
		if (attr->atttypid != other->atttypid || attr->attidentity == ATTRIBUTE_IDENTITY_ALWAYS ||
			(attr->atttypmod >= 0 && attr->atttypmod != other->atttypmod))
			return false;
		insert->used = bms_add_member(insert->used,
									  column->source - FirstLowInvalidHeapAttributeNumber);
	}
	return insert->used != NULL;
}

/* Put the rows formed so far into the table, and their entries into its indexes. */
static void
flush_rows(Insert *insert)
{
	if (insert->nrows == 0)
		return;
	table_multi_insert(insert->target, insert->slots, insert->nrows, insert->command, 0,
					   insert->bulk);
	for (int i = 0; i < insert->nrows; i++)
	{
		if (insert->result->ri_NumIndices > 0)
			list_free(kafka_insert_index_tuples(insert->result, insert->slots[i],
												insert->estate));
		ExecClearTuple(insert->slots[i]);
	}
	ResetPerTupleExprContext(insert->estate);
	insert->nrows = 0;
	insert->bytes = 0;
}

/* A slot for another row. Each holds on to its descriptor, which costs nothing where that is not counted. */
static TupleTableSlot *
free_slot(Insert *insert)
{
	if (insert->nrows == insert->nslots)
		insert->slots[insert->nslots++] =
			MakeSingleTupleTableSlot(insert->desc, table_slot_callbacks(insert->target));
	return insert->slots[insert->nrows];
}

/* Form a row of the target from one of the source. */
static void
form_row(Insert *insert, TupleTableSlot *from)
{
	TupleTableSlot *to = free_slot(insert);

	ExecClearTuple(to);
	for (int i = 0; i < to->tts_tupleDescriptor->natts; i++)
	{
		InsertColumn *column = &insert->columns[i];

		to->tts_values[i] = (Datum) 0;
		to->tts_isnull[i] = true;
		if (column->source > 0)
		{
			to->tts_values[i] = from->tts_values[column->source - 1];
			to->tts_isnull[i] = from->tts_isnull[column->source - 1];
		}
		else if (column->value)
			to->tts_values[i] = ExecEvalExprSwitchContext(column->value,
														  GetPerTupleExprContext(insert->estate),
														  &to->tts_isnull[i]);
	}
	ExecStoreVirtualTuple(to);
	if (RelationGetDescr(insert->target)->constr)
		ExecConstraints(insert->result, to, insert->estate);
	ExecMaterializeSlot(to);
	to->tts_tableOid = RelationGetRelid(insert->target);
	insert->nrows++;
}

static int64
insert_rows(Insert *insert, const KafkaTable *table, const KafkaIngestBatch *batch)
{
	KafkaRow   *row = KafkaRowOpenRead(insert->source, table, insert->used);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(insert->source),
													&TTSOpsVirtual);
	int64		nrows = 0;

	for (int i = 0; i < KafkaIngestBatchCount(batch); i++)
	{
		const KafkaMessage *message = KafkaIngestBatchMessage(batch, i);

		CHECK_FOR_INTERRUPTS();
		if (!KafkaRowStore(row, message, KafkaIngestBatchHeaders, NULL, slot))
			continue;
		form_row(insert, slot);
		nrows++;
		insert->bytes += message->keylen + message->valuelen;
		if (insert->nrows == MAX_ROWS || insert->bytes >= MAX_BYTES)
			flush_rows(insert);
	}
	flush_rows(insert);
	ExecDropSingleTupleTableSlot(slot);
	KafkaRowWarnSkipped(row, KafkaRowSkipped(row));
	return nrows;
}

/* Have the target's indexes ready, insert, and let go of all of it. */
static int64
execute(Insert *insert, const KafkaTable *table, const KafkaIngestBatch *batch)
{
	int64		nrows;

	insert->estate = CreateExecutorState();
	insert->result = makeNode(ResultRelInfo);
	InitResultRelInfo(insert->result, insert->target, 0, NULL, 0);
	ExecOpenIndices(insert->result, false);
	insert->slots = palloc(MAX_ROWS * sizeof(TupleTableSlot *));
	insert->bulk = GetBulkInsertState();
	insert->desc = CreateTupleDescCopyConstr(RelationGetDescr(insert->target));
	insert->command = GetCurrentCommandId(true);
	nrows = insert_rows(insert, table, batch);
	FreeBulkInsertState(insert->bulk);
	table_finish_bulk_insert(insert->target, 0);
	for (int i = 0; i < insert->nslots; i++)
		ExecDropSingleTupleTableSlot(insert->slots[i]);
	ExecCloseIndices(insert->result);
	FreeExecutorState(insert->estate);
	CommandCounterIncrement();
	return nrows;
}

bool
kafka_subscription_insert_batch(const KafkaSubscription *subscription, const KafkaTable *table,
								const KafkaIngestBatch *batch, int64 *nrows)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "kafka_fdw insert",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Insert		insert = {0};
	bool		suits;

	insert.target = table_open(subscription->target, RowExclusiveLock);
	insert.source = table_open(subscription->source, AccessShareLock);
	suits = is_plain(insert.target) && is_allowed(&insert) && match_columns(&insert);
	if (suits)
		*nrows = execute(&insert, table, batch);
	table_close(insert.source, NoLock);
	table_close(insert.target, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return suits;
}
