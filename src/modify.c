/*
 * modify.c
 *		INSERT, COPY FROM, and rows routed into a foreign partition; refusals of everything else.
 *
 * A row is handed to librdkafka as it comes and acknowledged later: the statement waits at its end
 * (EndForeignModify, EndForeignInsert) for all of them. Where somebody looks at the row after it
 * was inserted (RETURNING, an AFTER ROW trigger), each row waits, so that its partition, offset and
 * timestamp are the true ones.
 *
 * The batches of all partitions that a statement reaches hang on the statement's memory context and
 * so share one producer. When the statement fails, the reset of that context drops what is not yet
 * sent.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/plannodes.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "modify.h"
#include "option.h"
#include "outbox.h"
#include "pending.h"
#include "producer.h"
#include "row.h"
#include "scan.h"
#include "setting.h"

/* ResultRelInfo.ri_FdwState */
typedef struct ModifyState
{
	KafkaTable *table;
	KafkaRow   *row;			/* NULL under EXPLAIN, which sends nothing */
	KafkaBatch *batch;			/* NULL before the first row */
} ModifyState;

int
kafkaIsForeignRelUpdatable(Relation rel)
{
	KafkaTable *table = KafkaOptionGetTable(RelationGetRelid(rel), GetUserId());

	return table->updatable ? 1 << CMD_INSERT : 0;
}

/*
 * Called for UPDATE and DELETE only, which a log cannot do. PostgreSQL would refuse them itself,
 * but without saying why or what to do.
 */
void
kafkaAddForeignUpdateTargets(PlannerInfo *root, Index rtindex, RangeTblEntry *target_rte,
							 Relation target_relation)
{
	const char *name = RelationGetRelationName(target_relation);
	bool		is_delete = root->parse->commandType == CMD_DELETE;

	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 is_delete ? errmsg("cannot delete from foreign table \"%s\"", name)
			 : errmsg("cannot update foreign table \"%s\"", name),
			 errdetail("A topic is a log: messages are added and never changed."),
			 is_delete ? errhint("Insert a NULL value with the key to send a tombstone; "
								 "kafka_delete_records() removes the oldest messages.")
			 : errhint("Insert a new message with the same key.")));
}

/* TRUNCATE, refused for the same reason. */
void
kafkaExecForeignTruncate(List *rels, DropBehavior behavior, bool restart_seqs)
{
	Relation	rel = (Relation) linitial(rels);

	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot truncate foreign table \"%s\"", RelationGetRelationName(rel)),
			 errhint("kafka_delete_records() removes the messages of a partition before an offset.")));
}

pg_noreturn static void
refuse_on_conflict(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("INSERT with ON CONFLICT is not supported for foreign table \"%s\"", name),
			 errdetail("A topic is a log, in which nothing is unique."),
			 errhint("Insert without ON CONFLICT; to the readers of a key its last message counts.")));
}

List *
kafkaPlanForeignModify(PlannerInfo *root, ModifyTable *plan, Index resultRelation,
					   int subplan_index)
{
	if (plan->onConflictAction != ONCONFLICT_NONE)
		refuse_on_conflict(get_rel_name(planner_rt_fetch(resultRelation, root)->relid));
	return NIL;
}

/* The state of a relation that rows will be sent to; "row" false: only to be explained. */
static ModifyState *
open_state(EState *estate, ResultRelInfo *rinfo, bool row)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(estate->es_query_cxt);
	ModifyState *state = palloc0(sizeof(ModifyState));
	Relation	rel = rinfo->ri_RelationDesc;

	state->table = KafkaOptionGetTable(RelationGetRelid(rel), kafka_modify_user(rinfo, estate));
	if (row)
	{
		KafkaOptionCheckTopic(state->table->server, state->table->topic);
		state->row = KafkaRowOpenWrite(rel, state->table, NIL);
	}
	MemoryContextSwitchTo(oldcontext);
	return state;
}

void
kafkaBeginForeignModify(ModifyTableState *mtstate, ResultRelInfo *rinfo, List *fdw_private,
						int subplan_index, int eflags)
{
	bool		explain = (eflags & EXEC_FLAG_EXPLAIN_ONLY) != 0;

	if (!explain)
		KafkaSettingCheckWrite("INSERT");
	rinfo->ri_FdwState = open_state(mtstate->ps.state, rinfo, !explain);
}

/*
 * COPY FROM, and rows that are routed here from a partitioned table, by an UPDATE too. There is no
 * call of kafkaPlanForeignModify in these cases.
 */
void
kafkaBeginForeignInsert(ModifyTableState *mtstate, ResultRelInfo *rinfo)
{
	ModifyTable *plan = castNode(ModifyTable, mtstate->ps.plan);

	if (plan && plan->onConflictAction != ONCONFLICT_NONE)
		refuse_on_conflict(RelationGetRelationName(rinfo->ri_RelationDesc));
	/* PostgreSQL raises this too, but after the row was sent. */
	if (mtstate->mt_transition_capture && mtstate->mt_transition_capture->tcs_insert_new_table)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot collect transition tuples from child foreign tables")));
	KafkaSettingCheckWrite(plan == NULL ? "COPY FROM"
						   : plan->operation == CMD_UPDATE ? "UPDATE" : "INSERT");
	rinfo->ri_FdwState = open_state(mtstate->ps.state, rinfo, true);
}

/*
 * True where somebody looks at the row after it was inserted. Not known yet when the relation is
 * begun with: PostgreSQL makes the projection of RETURNING later.
 */
static bool
row_is_looked_at(ResultRelInfo *rinfo)
{
	return rinfo->ri_projectReturning != NULL ||
		(rinfo->ri_TrigDesc && rinfo->ri_TrigDesc->trig_insert_after_row);
}

/*
 * PostgreSQL calls this after BeginForeign...(). It does not check view options, project RETURNING
 * or fire row triggers for rows in a batch.
 */
int
kafkaGetForeignModifyBatchSize(ResultRelInfo *rinfo)
{
	ModifyState *state = (ModifyState *) rinfo->ri_FdwState;

	if (row_is_looked_at(rinfo) || rinfo->ri_WithCheckOptions != NIL ||
		(rinfo->ri_TrigDesc && rinfo->ri_TrigDesc->trig_insert_before_row))
		return 1;
	return state->table->insert_batch_size;
}

/*
 * Send one row. The view options are checked first, though PostgreSQL does it again afterwards:
 * what is sent cannot be taken back.
 */
static void
send_row(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot)
{
	ModifyState *state = (ModifyState *) rinfo->ri_FdwState;
	ErrorContextCallback context;
	KafkaOutgoing message;

	/* A row that waits can still be rolled back: PostgreSQL's own check comes early enough. */
	if (state->table->delivery != KAFKA_DELIVERY_IMMEDIATE)
	{
		KafkaRowFetch(state->row, slot, &message);
		if (state->table->delivery == KAFKA_DELIVERY_COMMIT)
			KafkaPendingAdd(state->table->server, state->table->topic, &message);
		else
			(void) KafkaOutboxAdd(state->table->server, state->table->topic, &message);
		return;
	}

	context.previous = error_context_stack;
	if (state->batch)
	{
		context.callback = KafkaBatchErrorContext;
		context.arg = state->batch;
		error_context_stack = &context;
	}
	if (rinfo->ri_WithCheckOptions != NIL)
		ExecWithCheckOptions(WCO_VIEW_CHECK, rinfo, slot, estate);
	KafkaRowFetch(state->row, slot, &message);
	error_context_stack = context.previous;

	if (state->batch == NULL)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(estate->es_query_cxt);

		KafkaScanFixEnds(state->table->topic);
		state->batch = KafkaBatchBegin(state->table->server, state->table->topic);
		MemoryContextSwitchTo(oldcontext);
	}
	KafkaBatchAdd(state->batch, &message);
}

TupleTableSlot *
kafkaExecForeignInsert(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
					   TupleTableSlot *planSlot)
{
	ModifyState *state = (ModifyState *) rinfo->ri_FdwState;
	MemoryContext oldcontext = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));

	send_row(estate, rinfo, slot);
	/* Where a row goes that waits is not known yet: it stays as it is. */
	if (state->batch && row_is_looked_at(rinfo))
	{
		KafkaDelivery delivery = KafkaBatchWait(state->batch);

		KafkaRowStoreDelivery(state->row, slot, delivery.partition, delivery.offset,
							  delivery.timestamp);
	}
	MemoryContextSwitchTo(oldcontext);
	return slot;
}

TupleTableSlot **
kafkaExecForeignBatchInsert(EState *estate, ResultRelInfo *rinfo, TupleTableSlot **slots,
							TupleTableSlot **planSlots, int *numSlots)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));

	for (int i = 0; i < *numSlots; i++)
		send_row(estate, rinfo, slots[i]);
	MemoryContextSwitchTo(oldcontext);
	return slots;
}

/* The end of the statement, which succeeds only with every row acknowledged. */
void
kafkaEndForeignModify(EState *estate, ResultRelInfo *rinfo)
{
	ModifyState *state = (ModifyState *) rinfo->ri_FdwState;

	if (state && state->batch)
	{
		KafkaBatchFinish(state->batch);
		state->batch = NULL;
	}
}

void
kafkaEndForeignInsert(EState *estate, ResultRelInfo *rinfo)
{
	kafkaEndForeignModify(estate, rinfo);
}

void
kafkaExplainForeignModify(ModifyTableState *mtstate, ResultRelInfo *rinfo, List *fdw_private,
						  int subplan_index, ExplainState *es)
{
	ModifyState *state = (ModifyState *) rinfo->ri_FdwState;

	ExplainPropertyText("Kafka Topic", state->table->topic, es);
	if (state->table->delivery == KAFKA_DELIVERY_COMMIT)
		ExplainPropertyText("Kafka Delivery", "commit", es);
	else if (state->table->delivery == KAFKA_DELIVERY_OUTBOX)
		ExplainPropertyText("Kafka Delivery", "outbox", es);
	ExplainPropertyInteger("Kafka Batch Size", NULL, rinfo->ri_BatchSize, es);
}
